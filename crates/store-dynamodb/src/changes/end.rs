//! A session ends. Its rows stay until everybody was told; its status hides them.

use ambo_core::{EndGuard, SessionId};

use super::Plan;
use crate::clock;
use crate::look::Look;
use crate::rows::{ACTIVE, ENDED, millis, text};
use crate::write::{Table, Write};

pub(super) fn blind(session: &SessionId, guard: &EndGuard) -> Plan {
    let set = "SET #status = :ended, #endedAt = :now";
    let write = Write::update(Table::Sessions, session.as_str(), set)
        .when("#status = :active")
        .with(":active", text(ACTIVE))
        .with(":ended", text(ENDED))
        .with(":now", millis(clock::now()));
    let write = match guard {
        EndGuard::SpokenBy(connection) => write
            .when("#speakerConnectionId = :speaker")
            .with(":speaker", text(connection.as_str())),
        EndGuard::ExpiredAt(now) => write.when("#endsAt <= :moment").with(":moment", millis(*now)),
        EndGuard::GraceOverAt(now) => {
            write.when("#speakerAwaitedUntil <= :moment").with(":moment", millis(*now))
        }
        EndGuard::Present => write,
    };
    Plan::Write(vec![write])
}

pub(super) fn sighted(session: &SessionId, guard: &EndGuard, look: &Look) -> Plan {
    match look.session(session) {
        None => Plan::DONE,
        Some(there) if guard.holds(there) => blind(session, guard),
        Some(_) => Plan::STALE,
    }
}
