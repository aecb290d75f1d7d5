// A real OpenID provider on loopback, for tests of logins. One line of JSON on standard input says what it serves:
//   {clients, accounts: {ID: {password…claims}}, ttl: seconds of an ID token, port}
// It prints its issuer, and obeys further lines: "rotate" signs by a new key from then on, and forgets the old one.
import {createServer} from 'node:http';
import {createInterface} from 'node:readline';
import {generateKeyPairSync, randomUUID} from 'node:crypto';
import {Provider} from 'oidc-provider';

const lines = createInterface({input: process.stdin})[Symbol.asyncIterator]();
const settings = JSON.parse((await lines.next()).value);

function key() {
  const {privateKey} = generateKeyPairSync('rsa', {modulusLength: 2048});
  return {...privateKey.export({format: 'jwk'}), kid: randomUUID(), use: 'sig', alg: 'RS256'};
}

let callback;
const server = createServer((request, response) => callback(request, response));
await new Promise(resolve => server.listen(settings.port ?? 0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

function serve() {
  const provider = new Provider(issuer, {
    clients: settings.clients,
    jwks: {keys: [key()]},
    cookies: {keys: ['for tests alone']},
    pkce: {required: () => true},
    claims: {openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'], groups: ['groups']},
    scopes: ['openid', 'email', 'profile', 'groups'],
    conformIdTokenClaims: settings.userinfo ?? false, // true: the claims are in the user's information alone
    ttl: {IdToken: settings.ttl ?? 3600, AccessToken: 3600, AuthorizationCode: 60, Grant: 3600, Session: 3600, Interaction: 600},
    findAccount: (_, id) => settings.accounts[id] && ({accountId: id, claims: () => ({sub: id, ...settings.accounts[id]})}),
    features: {devInteractions: {enabled: true}},
  });
  callback = provider.callback();
}
serve();
console.log(JSON.stringify({issuer}));
for await (const line of lines) {
  if (line === 'rotate') {
    serve();
    console.log(JSON.stringify({rotated: true}));
  }
}
server.close();
server.closeAllConnections();
