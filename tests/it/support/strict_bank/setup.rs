//! The institution in a gateway under test.

use url::Url;

use super::StrictBank;
use super::jws::name;
use super::places::Place;
use super::rules::{Authentication, Client, ClientKeys};
use crate::support::settings::{BANK_SECRET, bank_client_id};

/// The code of the institution.
pub const STRICT: &str = "strict_bank";

/// Its guid.
pub const STRICT_GUID: &str = "INS-55555555-5555-4555-8555-555555555555";

/// How a gateway has it.
#[derive(Clone)]
pub struct Strict {
    pub bank: StrictBank,
    /// The institution file from `[oauth]` on.
    pub oauth: String,
    /// What each client's registration has beside `institution` and `client_id`.
    pub registration: String,
    /// How the bank knows each client.
    pub authentication: Authentication,
    pub keys: ClientKeys,
}

impl Strict {
    /// By `client_secret_basic`, with nothing out of the ordinary.
    pub fn by_secret(bank: &StrictBank) -> Self {
        Self {
            bank: bank.clone(),
            oauth: bank.oauth_table("client_secret_basic", ""),
            registration: format!("client_secret = {BANK_SECRET:?}\n"),
            authentication: Authentication::Basic(BANK_SECRET.to_owned()),
            keys: ClientKeys::None,
        }
    }

    /// The institution file.
    pub fn institution_file(&self) -> String {
        format!(
            "guid = \"{STRICT_GUID}\"\ncode = \"{STRICT}\"\nname = \"Strict Bank\"\nsupports_oauth = true\n\n{}",
            self.oauth
        )
    }

    /// The registration of `client`, for its table in the configuration.
    pub fn registration(&self, client: &str) -> String {
        let id = bank_client_id(client, STRICT);
        format!(
            "[[clients.registrations]]\ninstitution = \"{STRICT}\"\nclient_id = \"{id}\"\n{}\n",
            self.registration
        )
    }

    /// Makes `client` of the gateway at `gateway` known to the bank.
    pub fn register(&self, client: &str, gateway: &Url) {
        self.bank.register(Client {
            client_id: bank_client_id(client, STRICT),
            redirect_uri: format!("{gateway}oauth/redirect_from/{client}/{STRICT}"),
            authentication: self.authentication.clone(),
            keys: self.keys.clone(),
        });
    }
}

impl StrictBank {
    /// An `[oauth]` table with the endpoints and the issuer, with that `client_authentication`, and `more` after it,
    /// which may go on with further tables.
    pub fn oauth_table(&self, client_authentication: &str, more: &str) -> String {
        format!(
            "[oauth]\nauthorization_endpoint = \"{}\"\ntoken_endpoint = \"{}\"\nrevocation_endpoint = \"{}\"\n\
             issuer = \"{}\"\niss = \"required\"\njwks_uri = \"{}\"\n\
             id_token_signed_response_alg = \"{}\"\nclient_authentication = \"{client_authentication}\"\n\
             scopes = [\"openid\", \"accounts\", \"transactions\"]\n{more}\n",
            self.url(Place::Authorize),
            self.url(Place::Token),
            self.url(Place::Revoke),
            self.issuer(),
            self.url(Place::Jwks),
            name(self.desk().rules.id_token),
        )
    }
}
