//! The embedded store keeps every promise of the port, with its disk and without.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod without_a_disk {
    use ambo_store_embedded::EmbeddedStore;
    use ambo_testkit::store_suite::Subject;

    async fn subject() -> Subject {
        Subject::new(EmbeddedStore::in_memory())
    }

    ambo_testkit::store_suite!(subject);
}

mod with_its_disk {
    use ambo_core::Millis;
    use ambo_store_embedded::{EmbeddedSettings, EmbeddedStore};
    use ambo_testkit::store_suite::Subject;

    async fn subject() -> Subject {
        let directory = tempfile::tempdir().unwrap();
        let settings = EmbeddedSettings {
            directory: directory.path().to_owned(),
            speaker_grace: Millis::from_secs(30),
            now: Millis(1_700_000_000_000),
        };
        Subject::new(EmbeddedStore::open(&settings).unwrap()).with(directory)
    }

    ambo_testkit::store_suite!(subject);
}
