//! The credentials for the demo's APIs, and how they are printed.

use anyhow::Context;
use serde_json::json;
use url::Url;

use super::parts::{CLIENT, USER};
use crate::domain::id::ClientId;
use crate::domain::secret::{ApiKey, SessionToken};
use crate::domain::user::User;
use crate::flow::Gateway;
use crate::flow::access::{self, UserRequest};

/// The credentials for the demo's APIs.
pub(super) struct DemoAccess {
    pub(super) user: User,
    pub(super) api_key: ApiKey,
    session: SessionToken,
}

impl DemoAccess {
    pub(super) async fn open(gateway: &Gateway) -> anyhow::Result<Self> {
        let client: ClientId = CLIENT.parse()?;
        let user = match access::user(gateway, &client, USER).await? {
            Some(user) => user,
            None => {
                let request = UserRequest {
                    id: Some(USER.to_owned()),
                    ..UserRequest::default()
                };
                access::create_user(gateway, &client, request).await?
            }
        };
        // A kept store has the keys of earlier starts; their secrets are lost.
        for key in gateway.store.api_keys(&client).await? {
            gateway
                .store
                .retire_api_key(&client, &key.id, gateway.clock.now())
                .await?;
        }
        let api_key = access::create_api_key(gateway, &client)
            .await?
            .context("no room for an API key")?;
        let token = access::api_token(gateway, &user).await?;
        let session = access::begin_session(gateway, &token)
            .await?
            .context("the session did not begin")?;
        Ok(Self {
            user,
            api_key,
            session,
        })
    }

    pub(super) fn to_json(&self, [gateway, bank, app, operator]: [&Url; 4]) -> String {
        let origin = |url: &Url| url.origin().ascii_serialization();
        let institutions: Vec<_> = guichet_sandbox::institutions()
            .into_iter()
            .map(|institution| json!({"guid": institution.guid, "code": institution.code, "name": institution.name}))
            .collect();
        json!({
            "gateway": origin(gateway),
            "bank": origin(bank),
            "app": origin(app),
            "operator": origin(operator),
            "platform": {"client_id": CLIENT, "api_key": self.api_key.expose()},
            "nexus": {"session_token": self.session.expose(), "user_guid": self.user.guid},
            "institutions": institutions,
        })
        .to_string()
    }

    pub(super) fn to_text(&self, [gateway, bank, app, operator]: [&Url; 4]) -> String {
        let origin = |url: &Url| url.origin().ascii_serialization();
        let row = |word: &str, effect: &str| format!("    {word:<16} {effect}\n");
        let passwords: String = guichet_sandbox::PASSWORDS
            .iter()
            .map(|(word, effect)| row(word, effect))
            .collect();
        let credential_passwords: String = guichet_sandbox::CREDENTIAL_PASSWORDS
            .iter()
            .map(|password| row(password.word, password.effect))
            .collect();
        let institutions: String = guichet_sandbox::institutions()
            .iter()
            .map(|institution| row(&institution.code, &institution.name))
            .collect();
        let curl_member = curl_member();
        format!(
            r#"Guichet is up. Click here:

    {app}

  gateway   {gateway}
  bank      {bank}
  operator  {operator}/metrics

The bank's institutions:

{institutions}
Any user name will do; the password says what happens. On the bank's own pages:

{passwords}
At mxbank and mxcu_credential, where the app asks for name and password:

{credential_passwords}
Or with curl:

    curl -s {gateway}/members -H 'MD-SESSION-TOKEN: {session}' \
      -H 'Content-Type: application/json' \
      -d '{{"member":{{"institution_guid":"INS-68e96dd6-eabd-42d3-9f05-416897f0746c","is_oauth":true}}}}'

    curl -s -u '{CLIENT}:{key}' {gateway}/users/{user}/members \
      -H 'Content-Type: application/json' \
      -d '{curl_member}'

    curl -s -u '{CLIENT}:{key}' {gateway}/users/{user}/members

Ctrl-C stops it."#,
            app = origin(app),
            gateway = origin(gateway),
            bank = origin(bank),
            operator = origin(operator),
            session = self.session.expose(),
            key = self.api_key.expose(),
            user = self.user.guid,
        )
    }
}

/// The body that connects a member by name and password, at the first institution without OAuth.
fn curl_member() -> String {
    let institutions = guichet_sandbox::institutions();
    let institution = institutions.iter().find(|one| !one.supports_oauth());
    let values = ["ada", "challenge"];
    let credentials: Vec<_> = institution
        .iter()
        .flat_map(|institution| &institution.credentials)
        .zip(values)
        .map(|(field, value)| json!({"guid": field.guid, "value": value}))
        .collect();
    let code = institution.map(|institution| &institution.code);
    json!({"member": {"institution_code": code, "credentials": credentials}}).to_string()
}
