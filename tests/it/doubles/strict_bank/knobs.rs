//! Every item of the ledger's list has its knobs, and every knob does something.

use std::collections::BTreeSet;

use crate::support::strict_bank::knobs::Knob;

/// The list (`security` 1.9), item by item.
const LIST: &str = "Metadata: wrong issuer · missing/foreign endpoint · http or odd scheme · no PKCE list · plain only · \
advertises iss then omits · moves endpoints · 256 kB+ · slow · redirect. \
Authorize: iss drop/alter/advertise-not · state drop/alter/duplicate · fragment mode · form_post unasked · \
error with hostile text · code and error · code twice · bounce to another AS · oversized code. \
Jarm: iss/aud/exp missing or wrong · bad signature · `none` · other alg · plain parameters beside it · encrypted with RSA1_5. \
Par: 200 · 302 · bad `request_uri` · `expires_in` 0/1/absent · nonce demand · reuse refused. \
Token: redirect ×5 · HTML · huge · slow · gzip bomb · duplicate keys · token_type case/unknown/downgrade · \
expires_in absent or odd · scope absent/narrow/broad · RAR reduced · cut after body · nonce always/never/changing · \
rotation with or without grace · `invalid_grant`/`invalid_client`/503. \
Claim: every claim missing/wrong/wrong type · at_hash wrong. \
IdToken: alg none/HS/other · kid absent/unknown/duplicate with decoys · `jku`,`jwk`,`x5u`,`crit` · encrypted variants. \
Jwks: rotate · 500 · decoys · weak RSA · 10 000 keys. \
UserInfo: other sub · signed badly · 401 with nonce. \
Revocation: 200/400/503/timeout";

/// Beside the list: what the ledger asks for elsewhere.
const BESIDE: [&str; 3] = [
    "Authorize(TokensInTheQuery)",
    "Authorize(TokensInTheFragment)",
    "IdToken(IssuedAWeekAgo)",
];

#[test]
fn every_item_of_the_list_has_its_knobs_and_every_knob_is_of_an_item() {
    let table = include_str!("../../support/strict_bank/knobs.rs");
    let mut items = BTreeSet::new();
    let mut named = BTreeSet::from(BESIDE.map(str::to_owned));
    for row in table.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let [place, item, knobs] = cells[..] else {
            continue;
        };
        if place == "place" {
            continue;
        }
        items.insert(format!("{place}: {item}"));
        let knobs: Vec<&str> = knobs.split_whitespace().collect();
        assert!(!knobs.is_empty(), "{place}: {item}");
        named.extend(
            knobs
                .iter()
                .map(|knob| format!("{place}({})", knob.trim_matches('`'))),
        );
    }
    let listed: BTreeSet<String> = LIST
        .split(". ")
        .flat_map(|place| {
            let (place, list) = place.split_once(": ").expect("a place");
            list.split(" · ")
                .map(move |item| format!("{place}: {item}"))
        })
        .collect();
    assert_eq!(items, listed);
    let is_called = |knob: &Knob| match knob {
        Knob::SpoiltClaim(how, _) => format!("Claim({how:?})"),
        knob => format!("{knob:?}"),
    };
    let known: BTreeSet<String> = Knob::all().iter().map(is_called).collect();
    assert_eq!(known, named);
}
