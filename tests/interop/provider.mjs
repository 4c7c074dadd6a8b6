// An authorization server we did not write: npm `oidc-provider`, set up as a bank, on the
// loopback interface. It refuses what its profile demands and does not get.
//
//   node provider.mjs [--profile NAME] [--port N] [--access-token-seconds N]
//
//   --profile NAME   plain (the default): OpenID Connect with PKCE (RFC 7636), ID tokens by ES256,
//                    `iss` in the answer (RFC 9207), rotating refresh tokens and revocation
//                    (RFC 7009).
//                    fapi2-dpop: the FAPI 2.0 profile with everything on: pushed requests
//                    (RFC 9126) and nothing else, `private_key_jwt`, DPoP (RFC 9449) with a
//                    nonce demanded at every endpoint, signed responses (JARM), encrypted
//                    ID tokens, authorization details (RFC 9396), rotation, revocation.
//                    fapi2-mtls: the FAPI 2.0 profile over https with client certificates
//                    (RFC 8705): `self_signed_tls_client_auth`, bound access tokens, aliases
//                    on a second port, where alone a certificate is asked for.
//   --port N                   the port to listen on; 0, the default, takes a free one
//   --access-token-seconds N   how long an access token is valid; an hour by default
//   INTEROP_CLIENT   (environment, required) the one client, as JSON: `client_id`,
//                    `redirect_uri`, and what proves it: for plain a `client_secret` of
//                    printable ASCII, otherwise its public keys as a set, `jwks` (for
//                    fapi2-mtls each with its certificate, `x5c`).
//   INTEROP_TLS      (environment, for fapi2-mtls) files in PEM, as JSON: `key`, `cert`.
//
// When it is ready it prints one line of JSON on standard output: its metadata (RFC 8414).
// Everything else it says goes to standard error.
//
// The pages a person (or a browser test) meets are the package's own:
//
//   login    <form method="post"> with hidden `prompt` = "login", text `login` and
//            password `password` (both required, anything is accepted; the login becomes
//            the subject), and one `button[type=submit]` "Sign-in"
//   consent  <form method="post"> with hidden `prompt` = "consent" and one
//            `button[type=submit]` "Continue"
//   both     a link "[ Cancel ]" (`.login-help a`) that sends the person back with
//            `error=access_denied`

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, get as getPlain } from 'node:http';
import { createServer as createTlsServer, get as getTls } from 'node:https';
import { parseArgs } from 'node:util';

// The package announces its development features on standard output.
console.info = console.error;

const { default: Provider } = await import('oidc-provider');

const { values: options } = parseArgs({
  options: {
    profile: { type: 'string', default: 'plain' },
    port: { type: 'string', default: '0' },
    'access-token-seconds': { type: 'string', default: '3600' },
  },
});

/** Ends the program with what is wrong. */
function refuse(problem) {
  console.error(problem);
  process.exit(2);
}

/** An object from an environment variable in which these members are there. */
function fromEnvironment(variable, names) {
  let given;
  try {
    given = JSON.parse(process.env[variable] ?? '');
  } catch {
    given = {};
  }
  const missing = names.filter((name) => !given?.[name]);
  if (missing.length > 0) {
    refuse(`${variable} must be a JSON object with ${names.join(', ')}; missing: ${missing.join(', ')}`);
  }
  return given;
}

/** A fresh signing key, as a private JWK. */
function signingKey(alg, type, how) {
  const { privateKey } = generateKeyPairSync(type, how);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: alg.toLowerCase() };
}

const es256 = () => signingKey('ES256', 'ec', { namedCurve: 'P-256' });
const ps256 = () => signingKey('PS256', 'rsa', { modulusLength: 2048 });

/** Listens on the loopback interface and answers with the port that was taken. */
function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server.address().port));
  });
}

/** The certificate that a client showed, in PEM. */
function certificateOf(ctx) {
  const shown = ctx.socket.getPeerCertificate?.(true);
  if (!shown?.raw) return undefined;
  const lines = shown.raw.toString('base64').match(/.{1,64}/g);
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

/** What both FAPI 2.0 set-ups have. */
const fapi2 = {
  fapi: { enabled: true, profile: '2.0' },
  pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true },
};

/** The kind of account access that may be asked for in detail (RFC 9396). */
const DETAILS = 'account_information';

/** Where tokens for it are good. */
const RESOURCE = 'urn:bank:accounts';

const granted = (ctx, source) => source?.rar ?? JSON.parse(ctx.oidc.params.authorization_details ?? '[]');

const profiles = {
  plain: () => ({
    proof: ['client_secret'],
    keys: [es256()],
    client: {
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: 'ES256',
    },
    features: {},
  }),
  'fapi2-dpop': () => ({
    proof: ['jwks'],
    keys: [ps256(), es256()],
    client: {
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'PS256',
      dpop_bound_access_tokens: true,
      require_pushed_authorization_requests: true,
      id_token_signed_response_alg: 'PS256',
      id_token_encrypted_response_alg: 'RSA-OAEP-256',
      id_token_encrypted_response_enc: 'A256GCM',
      authorization_signed_response_alg: 'PS256',
      authorization_details_types: [DETAILS],
    },
    features: {
      ...fapi2,
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      encryption: { enabled: true },
      jwtResponseModes: { enabled: true },
      richAuthorizationRequests: {
        enabled: true,
        types: { [DETAILS]: { validate: () => {} } },
        authorizationDetailsForGrantSource: (ctx, source) => granted(ctx, source),
        authorizationDetailsForAccessToken: (ctx, _token, source) => granted(ctx, source),
        authorizationDetailsForIntrospection: (_ctx, token) => token.rar,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({ scope: 'accounts transactions', audience: RESOURCE }),
      },
    },
    more: {
      enabledJWA: {
        idTokenEncryptionAlgValues: ['RSA-OAEP-256', 'ECDH-ES'],
        idTokenEncryptionEncValues: ['A128GCM', 'A256GCM'],
        authorizationSigningAlgValues: ['PS256', 'ES256'],
        idTokenSigningAlgValues: ['PS256', 'ES256'],
        clientAuthSigningAlgValues: ['PS256', 'ES256'],
      },
    },
  }),
  'fapi2-mtls': () => ({
    proof: ['jwks'],
    keys: [ps256()],
    client: {
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      tls_client_certificate_bound_access_tokens: true,
      require_pushed_authorization_requests: true,
      id_token_signed_response_alg: 'PS256',
      use_mtls_endpoint_aliases: true,
    },
    features: {
      ...fapi2,
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        getCertificate: certificateOf,
      },
    },
    more: { clientAuthMethods: ['self_signed_tls_client_auth'] },
    isTls: true,
  }),
};

const profile = profiles[options.profile]?.();
if (!profile) refuse(`--profile is one of ${Object.keys(profiles).join(', ')}`);
const client = fromEnvironment('INTEROP_CLIENT', ['client_id', 'redirect_uri', ...profile.proof]);
const tls = profile.isTls ? fromEnvironment('INTEROP_TLS', ['key', 'cert']) : undefined;
const pem = tls && { key: readFileSync(tls.key), cert: readFileSync(tls.cert) };

// The issuer holds the port, so the sockets come before the provider. People get no question for a certificate:
// only clients come to the second one.
const servers = pem
  ? [createTlsServer(pem), createTlsServer({ ...pem, requestCert: true, rejectUnauthorized: false })]
  : [createServer()];
const scheme = pem ? 'https' : 'http';
const host = pem ? 'localhost' : '127.0.0.1';
const ports = [await listen(servers[0], Number(options.port))];
if (servers[1]) ports.push(await listen(servers[1], 0));
const [issuer, alias] = ports.map((port) => `${scheme}://${host}:${port}`);

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: client.client_id,
      redirect_uris: [client.redirect_uri],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
      ...Object.fromEntries(profile.proof.map((name) => [name, client[name]])),
      ...profile.client,
    },
  ],
  jwks: { keys: profile.keys },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  responseTypes: ['code'],
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access', 'accounts', 'transactions'],
  claims: { openid: ['sub'] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: () => true,
  rotateRefreshToken: () => true,
  // Tokens end when they say, and not a while later.
  clockTolerance: 0,
  features: {
    devInteractions: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
    ...profile.features,
  },
  discovery: alias && {
    mtls_endpoint_aliases: {
      token_endpoint: `${alias}/token`,
      revocation_endpoint: `${alias}/token/revocation`,
      userinfo_endpoint: `${alias}/me`,
      pushed_authorization_request_endpoint: `${alias}/request`,
    },
  },
  ttl: {
    AccessToken: Number(options['access-token-seconds']),
    AuthorizationCode: 60,
    Grant: 86400,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: 86400,
    Session: 3600,
  },
  ...profile.more,
});

// Its pages ask a public server for a web font. Take that line out, and forbid the
// browser to fetch anything else, so that a test never waits for the outside world.
provider.use(async (ctx, next) => {
  await next();
  if (typeof ctx.body === 'string' && ctx.response.is('html')) {
    ctx.body = ctx.body.replace(/@import\s+url\([^)]*\);?/g, '');
    ctx.set('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'");
  }
});

provider.on('server_error', (_ctx, error) => console.error(error));

for (const server of servers) server.on('request', provider.callback());

function stop() {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  process.exit(0);
}
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

// As a request of our own gets it, without asking our own socket: its certificate is nobody's we know.
const metadata = await new Promise((resolve, reject) => {
  const get = pem ? getTls : getPlain;
  const address = `${issuer}/.well-known/openid-configuration`;
  get(address, { rejectUnauthorized: false }, (response) => {
    let body = '';
    response.setEncoding('utf8');
    response.on('data', (chunk) => (body += chunk));
    response.on('end', () => resolve(JSON.parse(body)));
  }).on('error', reject);
});
console.log(JSON.stringify(metadata));
