//! What a hostile institution does, one name for each misbehaviour; all are off at first.
//!
//! The items of `security` 1.9, and what turns each of them; an item has several knobs where it is several things.
//! A knob that an honest institution may have, too, says so.
//!
//! | place | item | knobs |
//! |---|---|---|
//! | Metadata | wrong issuer | `WrongIssuer` |
//! | Metadata | missing/foreign endpoint | `EndpointMissing` `EndpointForeign` |
//! | Metadata | http or odd scheme | `EndpointOverHttp` `EndpointOfOddScheme` |
//! | Metadata | no PKCE list | `NoPkceList` |
//! | Metadata | plain only | `PkcePlainOnly` |
//! | Metadata | advertises iss then omits | `IssAdvertisedAndOmitted` |
//! | Metadata | moves endpoints | `EndpointsMove` |
//! | Metadata | 256 kB+ | `Huge` |
//! | Metadata | slow | `Slow` |
//! | Metadata | redirect | `Redirects` |
//! | Authorize | iss drop/alter/advertise-not | `IssDropped` `IssAltered` `IssNotAdvertised` |
//! | Authorize | state drop/alter/duplicate | `StateDropped` `StateAltered` `StateTwice` |
//! | Authorize | fragment mode | `InTheFragment` |
//! | Authorize | form_post unasked | `PostedUnasked` |
//! | Authorize | error with hostile text | `HostileError` |
//! | Authorize | code and error | `CodeAndError` |
//! | Authorize | code twice | `CodeTwice` |
//! | Authorize | bounce to another AS | `BouncesElsewhere` |
//! | Authorize | oversized code | `OversizedCode` |
//! | Jarm | iss/aud/exp missing or wrong | `IssMissing` `IssWrong` `AudMissing` `AudWrong` `ExpMissing` `ExpPassed` |
//! | Jarm | bad signature | `BadSignature` |
//! | Jarm | `none` | `AlgNone` |
//! | Jarm | other alg | `OtherAlg` |
//! | Jarm | plain parameters beside it | `PlainParametersBeside` |
//! | Jarm | encrypted with RSA1_5 | `EncryptedWithRsa15` |
//! | Par | 200 | `Status200` |
//! | Par | 302 | `Redirects` |
//! | Par | bad `request_uri` | `RequestUriInjects` `RequestUriIsAnAddress` `RequestUriIsANumber` `RequestUriMissing` `RequestUriHuge` |
//! | Par | `expires_in` 0/1/absent | `ExpiresInZero` `ExpiresInOne` `ExpiresInMissing` |
//! | Par | nonce demand | `NonceDemanded` |
//! | Par | reuse refused | `RequestUriRefused` |
//! | Token | redirect ×5 | `Redirects301` `Redirects302` `Redirects303` `Redirects307` `Redirects308` |
//! | Token | HTML | `Html` |
//! | Token | huge | `Huge` |
//! | Token | slow | `Slow` |
//! | Token | gzip bomb | `GzipBomb` |
//! | Token | duplicate keys | `DuplicateKeys` |
//! | Token | token_type case/unknown/downgrade | `TypeInAnotherCase` `TypeUnknown` `TypeDowngraded` |
//! | Token | expires_in absent or odd | `ExpiresInMissing` `ExpiresInText` `ExpiresInNegative` `ExpiresInZero` `ExpiresInHuge` |
//! | Token | scope absent/narrow/broad | `ScopeMissing` `ScopeNarrow` `ScopeBroad` |
//! | Token | RAR reduced | `DetailsReduced` |
//! | Token | cut after body | `CutAfterBody` |
//! | Token | nonce always/never/changing | `NonceAlways` `NonceNever` `NonceChanging` |
//! | Token | rotation with or without grace | `RotatesWithGrace` `RotatesWithoutGrace` |
//! | Token | `invalid_grant`/`invalid_client`/503 | `InvalidGrant` `InvalidClient` `Unavailable` |
//! | Claim | every claim missing/wrong/wrong type | `Missing` `Wrong` `WrongType` |
//! | IdToken | alg none/HS/other | `AlgNone` `AlgHsWithPublicKey` `OtherAlg` `BadSignature` |
//! | IdToken | kid absent/unknown/duplicate with decoys | `KidMissing` `KidUnknown` `KidOfDecoys` |
//! | IdToken | `jku`,`jwk`,`x5u`,`crit` | `HeaderJku` `HeaderJwk` `HeaderX5u` `HeaderCrit` |
//! | IdToken | encrypted variants | `PlainWhereEncrypted` `EncryptedWithRsa15` `EncryptedDirectly` `Compressed` `EncryptedNotSigned` |
//! | Claim | at_hash wrong | `Wrong` |
//! | Jwks | rotate | `RotatesBeforeSigning` `RotatesWithoutPublishing` |
//! | Jwks | 500 | `Status500` |
//! | Jwks | decoys | `Decoys` |
//! | Jwks | weak RSA | `WeakRsa` |
//! | Jwks | 10 000 keys | `TenThousandKeys` |
//! | UserInfo | other sub | `OtherSub` |
//! | UserInfo | signed badly | `BadSignature` |
//! | UserInfo | 401 with nonce | `NonceDemanded` |
//! | Revocation | 200/400/503/timeout | `Status200` `Status400` `Status503` `NeverAnswers` |
//!
//! Beside them, for what the ledger asks elsewhere: A1 `Authorize` `TokensInTheQuery` `TokensInTheFragment`,
//! C17 `IdToken` `IssuedAWeekAgo`.

/// A place, and what is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Knob {
    Metadata(Metadata),
    Authorize(Authorize),
    Jarm(Jarm),
    Par(Par),
    Token(Token),
    SpoiltClaim(Spoilt, Claim),
    IdToken(IdToken),
    Jwks(Jwks),
    UserInfo(UserInfo),
    Revocation(Revocation),
}

/// Declares the knobs of one place, and a list of all of them.
macro_rules! knobs {
    ($(#[$doc:meta])* $place:ident { $($(#[$said:meta])* $knob:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $place { $($(#[$said])* $knob),* }

        impl $place {
            /// Each of them.
            pub const ALL: &'static [Self] = &[$(Self::$knob),*];
        }

    };
}

/// Declares that what is wrong at one place is a knob.
macro_rules! places {
    ($($place:ident),*) => {$(
        impl From<$place> for Knob {
            fn from(knob: $place) -> Self {
                Self::$place(knob)
            }
        }
    )*};
}

places!(
    Metadata, Authorize, Jarm, Par, Token, IdToken, Jwks, UserInfo, Revocation
);

knobs! {
    /// The metadata document (RFC 8414).
    Metadata {
        /// `issuer` has a slash too many.
        WrongIssuer,
        /// There is no `token_endpoint`.
        EndpointMissing,
        /// `token_endpoint` is elsewhere.
        EndpointForeign,
        /// `token_endpoint` is over http at a host that is not this machine.
        EndpointOverHttp,
        /// `authorization_endpoint` has the scheme `javascript`.
        EndpointOfOddScheme,
        /// There is no `code_challenge_methods_supported`.
        NoPkceList,
        /// That has `plain` alone.
        PkcePlainOnly,
        /// `iss` is advertised and then not sent.
        IssAdvertisedAndOmitted,
        /// From the second time on, all endpoints are elsewhere.
        EndpointsMove,
        /// It has more than 256 kB.
        Huge,
        /// It comes a byte a second.
        Slow,
        /// It is a redirect to elsewhere.
        Redirects,
    }
}

knobs! {
    /// The authorization response.
    Authorize {
        /// There is no `iss`.
        IssDropped,
        /// `iss` has a slash too many.
        IssAltered,
        /// `iss` is sent and not advertised.
        IssNotAdvertised,
        /// There is no `state`.
        StateDropped,
        /// `state` is another.
        StateAltered,
        /// `state` is there twice.
        StateTwice,
        /// Everything is in the fragment.
        InTheFragment,
        /// It is posted, though it was asked for in the query.
        PostedUnasked,
        /// An error with kilobytes of script and control characters as its text.
        HostileError,
        /// An error beside the code.
        CodeAndError,
        /// `code` is there twice.
        CodeTwice,
        /// The browser is sent to elsewhere with the same request.
        BouncesElsewhere,
        /// `code` has more than 4 kB.
        OversizedCode,
        /// An access token in place of the code.
        TokensInTheQuery,
        /// The same in the fragment.
        TokensInTheFragment,
    }
}

knobs! {
    /// The authorization response as a JWT (JARM).
    Jarm {
        /// There is no `iss`.
        IssMissing,
        /// `iss` is elsewhere.
        IssWrong,
        /// There is no `aud`.
        AudMissing,
        /// `aud` is another client.
        AudWrong,
        /// There is no `exp`.
        ExpMissing,
        /// `exp` was an hour ago.
        ExpPassed,
        /// The signature is by a key that nobody published, under a `kid` that is.
        BadSignature,
        /// `alg` is `none`.
        AlgNone,
        /// Signed by another algorithm, whose key is published.
        OtherAlg,
        /// `code`, `state` and `iss` are beside it.
        PlainParametersBeside,
        /// Encrypted by `RSA1_5`.
        EncryptedWithRsa15,
    }
}

knobs! {
    /// The pushed authorization request's response (RFC 9126).
    Par {
        /// Status 200 in place of 201.
        Status200,
        /// A redirect to elsewhere.
        Redirects,
        /// `request_uri` has a parameter and a fragment in it.
        RequestUriInjects,
        /// `request_uri` is an address elsewhere.
        RequestUriIsAnAddress,
        /// `request_uri` is a number.
        RequestUriIsANumber,
        /// There is no `request_uri`.
        RequestUriMissing,
        /// `request_uri` has a megabyte.
        RequestUriHuge,
        /// `expires_in` is 0.
        ExpiresInZero,
        /// `expires_in` is 1, and that is so.
        ExpiresInOne,
        /// There is no `expires_in`.
        ExpiresInMissing,
        /// A nonce is demanded here, whatever the rules say.
        NonceDemanded,
        /// The authorization endpoint says of every `request_uri` that it was used before. (To use one twice is
        /// refused by an honest institution, too.)
        RequestUriRefused,
    }
}

knobs! {
    /// The token endpoint.
    Token {
        /// A redirect to elsewhere with that status.
        Redirects301,
        Redirects302,
        Redirects303,
        Redirects307,
        Redirects308,
        /// A page.
        Html,
        /// A megabyte.
        Huge,
        /// A byte a second.
        Slow,
        /// A few kilobytes that unpack to 64 MiB.
        GzipBomb,
        /// `access_token` is there twice.
        DuplicateKeys,
        /// `token_type` in capital letters; honest, if odd.
        TypeInAnotherCase,
        /// `token_type` is `mac`.
        TypeUnknown,
        /// `token_type` is `Bearer`, though the request had a proof.
        TypeDowngraded,
        /// `expires_in` is missing; honest, if odd.
        ExpiresInMissing,
        /// `expires_in` is text.
        ExpiresInText,
        /// `expires_in` is negative.
        ExpiresInNegative,
        /// `expires_in` is 0.
        ExpiresInZero,
        /// `expires_in` is beyond any number of 64 bits.
        ExpiresInHuge,
        /// There is no `scope`; honest: it is what was asked for.
        ScopeMissing,
        /// `scope` is the first that was asked for; honest.
        ScopeNarrow,
        /// `scope` has one that nobody asked for.
        ScopeBroad,
        /// The first of `authorization_details` alone; honest.
        DetailsReduced,
        /// The work is done, half of the response is sent, and the connection is cut.
        CutAfterBody,
        /// A nonce is demanded, and serves for long.
        NonceAlways,
        /// None is, whatever the rules say.
        NonceNever,
        /// One is, and each serves once: the retry is refused, too.
        NonceChanging,
        /// A used refresh token is good until its successor is used.
        RotatesWithGrace,
        /// A used refresh token ends the grant.
        RotatesWithoutGrace,
        /// `invalid_grant`, for everything.
        InvalidGrant,
        /// `invalid_client`, for everybody.
        InvalidClient,
        /// 503.
        Unavailable,
    }
}

knobs! {
    /// How a claim of an ID token is spoilt.
    Spoilt {
        /// It is missing.
        Missing,
        /// It is another's, or of another time.
        Wrong,
        /// It is of another type: a number in place of text, text in place of a number.
        WrongType,
    }
}

knobs! {
    /// A claim of an ID token (OpenID Connect Core, sections 2 and 3.3.2.11).
    Claim { Iss, Sub, Aud, Azp, Exp, Iat, Nbf, Nonce, AtHash, CHash, SHash }
}

impl Claim {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iss => "iss",
            Self::Sub => "sub",
            Self::Aud => "aud",
            Self::Azp => "azp",
            Self::Exp => "exp",
            Self::Iat => "iat",
            Self::Nbf => "nbf",
            Self::Nonce => "nonce",
            Self::AtHash => "at_hash",
            Self::CHash => "c_hash",
            Self::SHash => "s_hash",
        }
    }
}

knobs! {
    /// The rest of the ID token.
    IdToken {
        /// `alg` is `none`.
        AlgNone,
        /// `alg` is `HS256`, by the published key as the secret.
        AlgHsWithPublicKey,
        /// Signed by another algorithm, whose key is published.
        OtherAlg,
        /// The signature is by a key that nobody published, under a `kid` that is.
        BadSignature,
        /// There is no `kid`.
        KidMissing,
        /// `kid` names no key of the set.
        KidUnknown,
        /// `kid` names the right key and decoys of other kinds; honest, if odd.
        KidOfDecoys,
        /// `jku` leads elsewhere, and the key is one that is published there.
        HeaderJku,
        /// `jwk` has the key, which nobody published.
        HeaderJwk,
        /// `x5u` leads elsewhere, and the key is one that is published there.
        HeaderX5u,
        /// `crit` names a header that nobody knows.
        HeaderCrit,
        /// Signed and not encrypted, whatever the rules say.
        PlainWhereEncrypted,
        /// Encrypted by `RSA1_5`.
        EncryptedWithRsa15,
        /// Encrypted by `dir`, with the client's secret as the key.
        EncryptedDirectly,
        /// Encrypted with `zip`.
        Compressed,
        /// Encrypted claims without a signature.
        EncryptedNotSigned,
        /// `iat` was a week ago.
        IssuedAWeekAgo,
    }
}

knobs! {
    /// The set of keys.
    Jwks {
        /// The key is replaced, and published, just before each signature.
        RotatesBeforeSigning,
        /// The key is replaced and the set goes on having the old one.
        RotatesWithoutPublishing,
        /// 500.
        Status500,
        /// Keys of every other kind, `use` and curve stand before the right one under the same `kid`; honest, if odd.
        Decoys,
        /// The key is RSA of 1 024 bits.
        WeakRsa,
        /// The key comes after 9 999 others.
        TenThousandKeys,
    }
}

knobs! {
    /// UserInfo (OpenID Connect Core, section 5.3).
    UserInfo {
        /// `sub` is another person's.
        OtherSub,
        /// The signature is by a key that nobody published, under a `kid` that is.
        BadSignature,
        /// A nonce is demanded with 401, whatever the rules say.
        NonceDemanded,
    }
}

knobs! {
    /// The revocation endpoint (RFC 7009).
    Revocation {
        /// 200, and nothing is revoked.
        Status200,
        /// 400.
        Status400,
        /// 503.
        Status503,
        /// It never answers.
        NeverAnswers,
    }
}

impl From<(Spoilt, Claim)> for Knob {
    fn from((how, claim): (Spoilt, Claim)) -> Self {
        Self::SpoiltClaim(how, claim)
    }
}

impl Knob {
    /// Each of them.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        all.extend(Metadata::ALL.iter().map(|&it| Self::from(it)));
        all.extend(Authorize::ALL.iter().map(|&it| Self::from(it)));
        all.extend(Jarm::ALL.iter().map(|&it| Self::from(it)));
        all.extend(Par::ALL.iter().map(|&it| Self::from(it)));
        all.extend(Token::ALL.iter().map(|&it| Self::from(it)));
        for &how in Spoilt::ALL {
            all.extend(Claim::ALL.iter().map(|&claim| Self::from((how, claim))));
        }
        all.extend(IdToken::ALL.iter().map(|&it| Self::from(it)));
        all.extend(Jwks::ALL.iter().map(|&it| Self::from(it)));
        all.extend(UserInfo::ALL.iter().map(|&it| Self::from(it)));
        all.extend(Revocation::ALL.iter().map(|&it| Self::from(it)));
        all
    }
}

/// Those that are turned.
#[derive(Clone, Debug, Default)]
pub struct Knobs(Vec<Knob>);

impl Knobs {
    /// Turns one, beside those that are.
    pub fn turn(&mut self, knob: Knob) {
        self.0.push(knob);
    }

    /// Whether it is turned.
    pub fn has(&self, knob: impl Into<Knob>) -> bool {
        self.0.contains(&knob.into())
    }

    /// Those of them that `pick` picks.
    pub fn picked<T>(&self, pick: impl Fn(&Knob) -> Option<T>) -> Vec<T> {
        self.0.iter().filter_map(pick).collect()
    }
}
