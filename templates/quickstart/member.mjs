const gateway = process.env.GUICHET ?? "http://127.0.0.1:8080";
const key = process.env.KEY ?? "demo:your-api-key"; // client id and API key
const bank = process.env.BANK ?? "mx_bank_oauth"; // one of GET /institutions

async function call(method, path, body) {
  const headers = {
    Authorization: "Basic " + Buffer.from(key).toString("base64"),
    "Accept-Version": "v20250224",
    "Content-Type": "application/json",
  };
  const response = await fetch(gateway + path, { method, headers, body: body && JSON.stringify(body) });
  const result = await response.json();
  // 409: it is there already.
  if (!response.ok && response.status !== 409) throw new Error(result.error.message);
  return result;
}

await call("POST", "/users", { user: { id: "ada" } });
const { member } = await call("POST", "/users/ada/members", {
  member: { institution_code: bank, is_oauth: true },
});
console.log("Open this in a browser:", member.oauth_window_uri);

// 1: the person is still busy. 2: connected. 3: it ended without a connection.
let state = { auth_status: 1 };
while (state.auth_status === 1) {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  state = (await call("GET", `/oauth_states/${member.oauth_state_guid}`)).oauth_state;
}
console.log(state.auth_status === 2 ? "Connected." : `Not connected: reason ${state.error_reason}.`);
