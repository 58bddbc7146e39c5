//! What a store can be asked, as far as its wrappers care.

use std::future::Future;
use std::pin::Pin;

use ambo_app::ports::StoreFault;
use ambo_core::Change;

/// An operation of the store. Each change is one, since stores fail by the change: a full disk
/// takes no new session, but lets listeners join and leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are the methods of a store and the names of changes")]
pub enum Call {
    Load,
    Pay,
    Due,
    Members,
    Forget,
    Totals,
    Check,
    Open,
    Admit,
    Attach,
    Move,
    Touch,
    Retune,
    Steer,
    Drop,
    Lose,
    End,
}

impl Call {
    /// Every operation, in the order of their declaration.
    pub const ALL: [Self; 17] = [
        Self::Load,
        Self::Pay,
        Self::Due,
        Self::Members,
        Self::Forget,
        Self::Totals,
        Self::Check,
        Self::Open,
        Self::Admit,
        Self::Attach,
        Self::Move,
        Self::Touch,
        Self::Retune,
        Self::Steer,
        Self::Drop,
        Self::Lose,
        Self::End,
    ];

    /// The commit of this change.
    pub(crate) const fn of(change: &Change) -> Self {
        match change {
            Change::Open { .. } => Self::Open,
            Change::Admit { .. } => Self::Admit,
            Change::Attach { .. } => Self::Attach,
            Change::Move { .. } => Self::Move,
            Change::Touch { .. } => Self::Touch,
            Change::Retune { .. } => Self::Retune,
            Change::Steer { .. } => Self::Steer,
            Change::Drop { .. } => Self::Drop,
            Change::Lose { .. } => Self::Lose,
            Change::End { .. } => Self::End,
        }
    }

    /// Its name in logs and metrics: the store's method, or the change's own name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Pay => "pay",
            Self::Due => "due",
            Self::Members => "members",
            Self::Forget => "forget",
            Self::Totals => "totals",
            Self::Check => "check",
            Self::Open => "open",
            Self::Admit => "admit",
            Self::Attach => "attach",
            Self::Move => "move",
            Self::Touch => "touch",
            Self::Retune => "retune",
            Self::Steer => "steer",
            Self::Drop => "drop",
            Self::Lose => "lose",
            Self::End => "end",
        }
    }
}

/// A call under way, as a store's methods return it.
pub(crate) type UnderWay<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreFault>> + Send + 'a>>;

/// Makes a wrapper a store that sends each call through its `through(call, run)`, where `run`
/// makes the call of the `inner` store, once for each time it is called.
macro_rules! every_call_goes_through {
    ($wrapper:ty) => {
        #[async_trait::async_trait]
        impl ambo_app::ports::Store for $wrapper {
            async fn load(
                &self,
                wanted: &ambo_core::rules::Wanted,
            ) -> Result<ambo_core::rules::Seen, StoreFault> {
                self.through(Call::Load, || self.inner.load(wanted)).await
            }

            async fn commit(
                &self,
                change: &ambo_core::Change,
            ) -> Result<ambo_core::Applied, StoreFault> {
                self.through(Call::of(change), || self.inner.commit(change)).await
            }

            async fn pay(
                &self,
                toll: &ambo_core::rules::Toll,
                rate: ambo_core::Rate,
                now: ambo_core::Millis,
            ) -> Result<ambo_app::ports::Paid, StoreFault> {
                self.through(Call::Pay, || self.inner.pay(toll, rate, now)).await
            }

            async fn due(
                &self,
                now: ambo_core::Millis,
                after: Option<&ambo_core::SessionId>,
                limit: usize,
            ) -> Result<Vec<ambo_core::SessionId>, StoreFault> {
                self.through(Call::Due, || self.inner.due(now, after, limit)).await
            }

            async fn members(
                &self,
                session: &ambo_core::SessionId,
                page: ambo_app::ports::Page<'_>,
            ) -> Result<Vec<ambo_core::Connection>, StoreFault> {
                self.through(Call::Members, || self.inner.members(session, page)).await
            }

            async fn forget(&self, session: &ambo_core::SessionId) -> Result<(), StoreFault> {
                self.through(Call::Forget, || self.inner.forget(session)).await
            }

            async fn totals(&self) -> Result<ambo_app::ports::Totals, StoreFault> {
                self.through(Call::Totals, || self.inner.totals()).await
            }

            async fn check(&self) -> Result<(), StoreFault> {
                self.through(Call::Check, || self.inner.check()).await
            }
        }
    };
}
pub(crate) use every_call_goes_through;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_in_order_and_have_names_of_their_own() {
        for (at, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, at, "{call:?}");
            let namesakes = Call::ALL.iter().filter(|other| other.as_str() == call.as_str());
            assert_eq!(namesakes.count(), 1, "{call:?}");
        }
    }
}
