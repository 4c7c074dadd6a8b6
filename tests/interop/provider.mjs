// An authorization server we did not write: npm `oidc-provider`, set up as a bank that
// offers OpenID Connect with PKCE (RFC 7636), ID tokens by ES256, `iss` in the answer
// (RFC 9207), refresh tokens and revocation (RFC 7009), over http on the loopback interface.
//
//   node provider.mjs [--port N] [--access-token-seconds N]
//
//   --port N                   the port to listen on; 0, the default, takes a free one
//   --access-token-seconds N   how long an access token is valid; an hour by default
//   INTEROP_CLIENT   (environment, required) the one client, as JSON; its secret is
//                    printable ASCII:
//                    {"client_id": "…", "client_secret": "…", "redirect_uri": "…"}
//
// When it is ready it prints one line of JSON on standard output: the addresses a client
// needs, under the names of RFC 8414 (`issuer`, `authorization_endpoint`,
// `token_endpoint`, `revocation_endpoint`, `userinfo_endpoint`, `jwks_uri`). Everything else
// it says goes to standard error.
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
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

// The package announces its development features on standard output.
console.info = console.error;

const { default: Provider } = await import('oidc-provider');

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'access-token-seconds': { type: 'string', default: '3600' },
  },
});

/** The client from `INTEROP_CLIENT`; a missing or incomplete one ends the program. */
function readClient() {
  const names = ['client_id', 'client_secret', 'redirect_uri'];
  let given;
  try {
    given = JSON.parse(process.env.INTEROP_CLIENT ?? '');
  } catch {
    given = {};
  }
  const missing = names.filter((name) => typeof given?.[name] !== 'string' || given[name] === '');
  if (missing.length > 0) {
    console.error(`INTEROP_CLIENT must be a JSON object with ${names.join(', ')}; missing: ${missing.join(', ')}`);
    process.exit(2);
  }
  return given;
}

/** A fresh ES256 signing key, as a private JWK. */
function signingKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'es256' };
}

/** Listens on the loopback interface and answers with the port that was taken. */
function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server.address().port));
  });
}

const client = readClient();

// The issuer holds the port, so the socket comes before the provider.
const server = createServer();
const issuer = `http://127.0.0.1:${await listen(server, Number(options.port))}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: client.client_id,
      client_secret: client.client_secret,
      redirect_uris: [client.redirect_uri],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: 'ES256',
    },
  ],
  jwks: { keys: [signingKey()] },
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

server.on('request', provider.callback());

function stop() {
  server.close();
  server.closeAllConnections();
  process.exit(0);
}
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
console.log(
  JSON.stringify({
    issuer: metadata.issuer,
    authorization_endpoint: metadata.authorization_endpoint,
    token_endpoint: metadata.token_endpoint,
    revocation_endpoint: metadata.revocation_endpoint,
    userinfo_endpoint: metadata.userinfo_endpoint,
    jwks_uri: metadata.jwks_uri,
  }),
);
