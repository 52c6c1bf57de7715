//! Tokens from the surroundings, kept until they are to be renewed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tidegate_core::Secret;
use tokio::time::Instant;

use crate::request::{Fresh, of_machine, of_workload, read_token};
use crate::{Identity, Surroundings, Token, TokenError, Tokens};

/// The kubelet replaces a projected token well before it ends, so looking once a minute is early enough.
const SERVICE_ACCOUNT_TOKEN_RENEW_AFTER: Duration = Duration::from_secs(60);

/// How long before its end a token is renewed. One that lives for two hours or more, as those of managed identities do, is
/// renewed after half its life, as Microsoft's libraries do.
const RENEW_BEFORE_END: Duration = Duration::from_secs(300);
const LONG_LIFE: Duration = Duration::from_secs(7200);

/// When a token that could not be renewed is tried again, and for how long it must still be good to be used meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(30);
const USABLE_BEFORE_END: Duration = Duration::from_secs(15);

/// Tokens as the surroundings of this process give them. Those of Entra ID are kept and renewed early: while the old one is
/// good, nobody notices that its service does not answer.
pub struct AmbientTokens {
    surroundings: Surroundings,
    /// One for each identity that an endpoint names. Its lock is held while a token is fetched, by one for all.
    kept: Mutex<HashMap<Identity, Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    value: Secret<Vec<u8>>,
    renew_at: Instant,
    ends_at: Instant,
}

impl AmbientTokens {
    /// Fetches nothing before it is asked.
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, kept: Mutex::default() }
    }

    async fn fetch(&self, identity: &Identity) -> Result<Fresh, TokenError> {
        let Surroundings { workload, metadata, .. } = &self.surroundings;
        match identity {
            Identity::ServiceAccount { .. } => unreachable!("it is read from its file each time"),
            Identity::SystemAssigned { audience } => match self.surroundings.nameless_workload() {
                Some((workload, client_id, tenant_id)) => {
                    of_workload(workload, client_id, tenant_id, &scope(audience)).await
                }
                None => of_machine(metadata, audience, None).await,
            },
            Identity::UserAssigned { client_id, tenant_id, scope } => match workload {
                Some(workload) => of_workload(workload, client_id, tenant_id, scope).await,
                None => of_machine(metadata, audience(scope), Some(client_id)).await,
            },
        }
    }
}

#[async_trait]
impl Tokens for AmbientTokens {
    async fn token(&self, identity: &Identity) -> Result<Token, TokenError> {
        if let Identity::ServiceAccount { .. } = identity {
            let path = &self.surroundings.service_account_token;
            let value = read_token(path, "the service account token").await?;
            return Ok(Token { value, renew_after: SERVICE_ACCOUNT_TOKEN_RENEW_AFTER });
        }
        let slot = self.kept.lock().entry(identity.clone()).or_default().clone();
        let mut slot = slot.lock().await;
        if let Some(kept) = slot.as_ref().filter(|k| Instant::now() < k.renew_at) {
            return Ok(kept.token());
        }
        match (self.fetch(identity).await, slot.as_mut()) {
            (Ok(fresh), _) => Ok(slot.insert(Kept::new(fresh)).token()),
            (Err(error), Some(kept)) if Instant::now() + USABLE_BEFORE_END < kept.ends_at => {
                tracing::warn!(%error, "a token could not be renewed and is used on");
                kept.renew_at = Instant::now() + RETRY_AFTER;
                Ok(kept.token())
            }
            (Err(error), _) => {
                *slot = None;
                Err(error)
            }
        }
    }
}

impl Kept {
    fn new(Fresh { value, lifetime, refresh }: Fresh) -> Self {
        let early = if lifetime >= LONG_LIFE {
            lifetime / 2
        } else {
            lifetime.saturating_sub(RENEW_BEFORE_END).max(lifetime / 2)
        };
        let now = Instant::now();
        Self { value, renew_at: now + refresh.map_or(early, |r| r.min(early)), ends_at: now + lifetime }
    }

    fn token(&self) -> Token {
        let left = self.renew_at.saturating_duration_since(Instant::now());
        // whoever asks again when it is time, is not to come a moment early
        Token { value: self.value.clone(), renew_after: left.max(Duration::from_secs(1)) }
    }
}

/// The scope that stands for an audience (Entra ID, "Scopes and permissions", ".default").
fn scope(audience: &str) -> String {
    format!("{audience}/.default")
}

/// The audience that a scope stands for.
fn audience(scope: &str) -> &str {
    scope.strip_suffix("/.default").unwrap_or(scope)
}
