//! What stands for other services: an issuer's keys, Amazon Translate and Amazon Polly.

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A server of all three. Without languages the two of Amazon are out of order.
pub struct Services {
    address: String,
    serving: AbortHandle,
}

impl Services {
    pub async fn start(jwks: &str, languages: Option<&[&str]>) -> Self {
        let jwks: Value = serde_json::from_str(jwks).unwrap();
        let mut router = Router::new().route("/jwks", get(async || Json(jwks)));
        if let Some(languages) = languages {
            let listed: Vec<_> =
                languages.iter().map(|code| json!({ "LanguageCode": code })).collect();
            let translated = json!({ "Languages": listed });
            let voiced = json!({ "Voices": listed });
            router = router
                .route("/translate/", post(async || Json(translated)))
                .route("/polly/v1/voices", get(async || Json(voiced)));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, serving: serving.abort_handle() }
    }

    /// The address of one of them.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
