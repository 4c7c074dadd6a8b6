//! Typed clients, generated from each published description of the Platform API, take a member
//! through its life; asked for in every way that a version can be asked for.

use crate::sdk::demo;
use crate::support::clients::Sdk;
use crate::support::gateway::Backend;

crate::on_both_stores!(
    a_client_generated_from_either_description_reads_every_response_of_its_version,
);

async fn a_client_generated_from_either_description_reads_every_response_of_its_version(
    backend: Backend,
) {
    for (version, ways) in [("v20111101", 3), ("v20250224", 2)] {
        let (_demo, line) = demo(backend);
        let mut client = Sdk::typed(version, &line);
        for _ in 0..ways {
            let seen = client.step("journey");
            assert_eq!(seen["job"].is_string(), version == "v20250224", "{seen}");
            assert!(seen["institutions"].as_u64() > Some(1), "{seen}");
        }
        // Else the journey would have proved nothing.
        assert_eq!(client.step("strict")["is_strict"], true, "{version}");
        client.ends();
    }
}
