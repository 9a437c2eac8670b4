//! A client of the gateway in a task of its own.

use serde_json::Value;

/// A client's side of the API, for a task of its own.
#[derive(Clone)]
pub struct Caller {
    pub(super) http: reqwest::Client,
    /// The gateway's API; a gateway that is started again has another port.
    pub api: String,
    pub(super) key: String,
}

impl Caller {
    /// Orders `quantity` of a service of type Default; gives the whole answer, where one came.
    pub async fn add(&self, service: u32, link: &str, quantity: u32) -> Result<Value, reqwest::Error> {
        let (service, quantity) = (service.to_string(), quantity.to_string());
        self.call("add", &[("service", &service), ("link", link), ("quantity", &quantity)]).await
    }

    /// Any call of that client.
    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Value, reqwest::Error> {
        let mut form = vec![("key", self.key.as_str()), ("action", action)];
        form.extend(parameters);
        self.http.post(&self.api).form(&form).send().await?.json().await
    }
}
