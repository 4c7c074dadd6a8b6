//! `guichet keys client`: the private keys that clients have at institutions.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};

use crate::domain::algorithm::{KeyManagement, SigningAlgorithm};
use crate::jose::{DecryptionKey, SigningKey, new_key};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a key and print its public half. The file must not be there; only its owner can read it.
    New {
        /// Where the private key is written, in PEM.
        file: PathBuf,
        /// What it is for: to sign, or to be encrypted to.
        #[arg(long, value_name = "ALGORITHM", default_value = "PS256")]
        alg: Use,
    },
}

/// What a key is for.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Use {
    /// RSA, 3072 bits.
    #[value(name = "PS256")]
    Ps256,
    /// RSA, 3072 bits.
    #[value(name = "RS256")]
    Rs256,
    /// P-256.
    #[value(name = "ES256")]
    Es256,
    /// P-384.
    #[value(name = "ES384")]
    Es384,
    /// Ed25519.
    #[value(name = "EdDSA")]
    EdDsa,
    /// RSA, 3072 bits.
    #[value(name = "RSA-OAEP-256")]
    RsaOaep256,
    /// P-256.
    #[value(name = "ECDH-ES")]
    EcdhEs,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::New { file, alg } = command;
    let kind = match alg {
        Use::Ps256 | Use::RsaOaep256 => SigningAlgorithm::PS256,
        Use::Rs256 => SigningAlgorithm::RS256,
        Use::Es256 | Use::EcdhEs => SigningAlgorithm::ES256,
        Use::Es384 => SigningAlgorithm::ES384,
        Use::EdDsa => SigningAlgorithm::EdDSA,
    };
    let pem = new_key(kind)?;
    let public = match alg {
        Use::RsaOaep256 => {
            DecryptionKey::from_pem(pem.as_bytes(), KeyManagement::RsaOaep256)?.public_jwk()
        }
        Use::EcdhEs => DecryptionKey::from_pem(pem.as_bytes(), KeyManagement::EcdhEs)?.public_jwk(),
        _ => SigningKey::from_pem(pem.as_bytes(), kind)?.public_jwk(),
    };
    write(file, pem.as_bytes()).with_context(|| format!("{} cannot be written", file.display()))?;
    println!("{public:#}");
    let list = match alg {
        Use::RsaOaep256 | Use::EcdhEs => "encryption_key_files",
        _ => "signing_key_files",
    };
    eprintln!(
        "The private key is in {}. Name it in {list} of the client's registration; the institution gets only what is above.",
        file.display()
    );
    Ok(())
}

/// Writes a new file that only its owner can read.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}
