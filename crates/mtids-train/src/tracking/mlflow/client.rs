//! A tracking server of MLflow, by its REST API 2.0.
//!
//! Invariants: a request ends after [`TIMEOUT`]; what the server answers is only read as JSON; credentials are taken from the variables that MLflow's own
//! client reads, and appear in no message.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use ureq::Agent;

use crate::error::TrainError;

/// Longest time for a request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;

/// A server.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    /// Address without a slash at its end.
    server: String,
    authorization: Option<String>,
}

/// What a server said: the status of HTTP and a JSON value.
struct Answer {
    status: u16,
    value: Value,
}

impl Client {
    /// A client of a server with credentials from the environment.
    pub(super) fn new(server: &str) -> Self {
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let basic = || {
            let user = variable("MLFLOW_TRACKING_USERNAME")?;
            let password = variable("MLFLOW_TRACKING_PASSWORD").unwrap_or_default();
            Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
        };
        let authorization = variable("MLFLOW_TRACKING_TOKEN").map(|token| format!("Bearer {token}")).or_else(basic);
        Self { agent: Agent::new_with_config(config), server: server.trim_end_matches('/').to_owned(), authorization }
    }

    /// Calls a method; `path` is what follows `mlflow/`.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, TrainError> {
        let answer = self.send(path, Some(body))?;
        self.accept(path, answer)
    }

    /// The experiment of a name, which is made where there is none.
    pub(super) fn experiment(&self, name: &str) -> Result<String, TrainError> {
        let path = format!("experiments/get-by-name?experiment_name={}", percent_encoded(name));
        let answer = self.send(&path, None)?;
        let id = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if answer.value["error_code"] == "RESOURCE_DOES_NOT_EXIST" {
            let created = self.post("experiments/create", &json!({ "name": name }))?;
            return id(&created, "/experiment_id").ok_or_else(|| self.strange("experiments/create"));
        }
        let found = self.accept("experiments/get-by-name", answer)?;
        if found.pointer("/experiment/lifecycle_stage").is_some_and(|stage| stage == "deleted") {
            return Err(self.error(&format!("its experiment `{name}` is deleted; restore it, or name another one")));
        }
        id(&found, "/experiment/experiment_id").ok_or_else(|| self.strange("experiments/get-by-name"))
    }

    /// An answer without a field that its method has.
    pub(super) fn strange(&self, path: &str) -> TrainError {
        self.error(&format!("its answer to {path} is not that of MLflow"))
    }

    fn send(&self, path: &str, body: Option<&Value>) -> Result<Answer, TrainError> {
        let url = format!("{}/api/2.0/mlflow/{path}", self.server);
        let failed = |error: ureq::Error| {
            self.error(&format!("cannot be reached ({error}); look at the address, and whether the server runs"))
        };
        let authorization = self.authorization.as_deref();
        let mut response = match body {
            Some(body) => {
                let request = self.agent.post(&url).content_type("application/json");
                let request =
                    authorization.into_iter().fold(request, |request, value| request.header("Authorization", value));
                request.send(body.to_string()).map_err(failed)?
            }
            None => {
                let request = self.agent.get(&url);
                let request =
                    authorization.into_iter().fold(request, |request, value| request.header("Authorization", value));
                request.call().map_err(failed)?
            }
        };
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string().map_err(failed)?;
        Ok(Answer { status, value: serde_json::from_str(&text).unwrap_or_default() })
    }

    fn accept(&self, path: &str, answer: Answer) -> Result<Value, TrainError> {
        let Answer { status, value } = answer;
        if status == 200 && value.is_object() {
            return Ok(value);
        }
        let reason = match (status, value["message"].as_str()) {
            (401 | 403, _) => {
                "it wants other credentials; set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and …_PASSWORD"
                    .to_owned()
            }
            (_, Some(message)) => format!("it refused {path}: {message}"),
            (status, None) => format!("it answered {path} with HTTP status {status}; is it an MLflow tracking server?"),
        };
        Err(self.error(&reason))
    }

    fn error(&self, reason: &str) -> TrainError {
        TrainError::Server { server: self.server.clone(), reason: reason.to_owned() }
    }
}

/// A name as a part of a query.
fn percent_encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_experiments_may_hold_anything() {
        assert_eq!(percent_encoded("Lymph nodes/1 ü"), "Lymph%20nodes%2F1%20%C3%BC");
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        // Port 9 of this machine: nobody listens there.
        let error = Client::new("http://127.0.0.1:9/").experiment("any").unwrap_err().to_string();
        assert!(error.starts_with("http://127.0.0.1:9: cannot be reached"), "{error}");
    }
}
