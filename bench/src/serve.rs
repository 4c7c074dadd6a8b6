//! How the helpers serve: on a free port of this machine, which is the first line they print.

use axum::Router;
use tokio::net::TcpListener;

/// Serves until the process is ended.
pub async fn on_a_free_port(routes: impl FnOnce(&str) -> Router) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = routes(&format!("http://{address}"));
    println!("{address}");
    Ok(axum::serve(listener, routes).await?)
}
