//! The store keeps every promise of the port, on Dynoxide and on DynamoDB Local.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

mod on_dynoxide {
    use ambo_testkit::dynamo::Engine;
    use ambo_testkit::store_suite::Subject;

    async fn subject() -> Subject {
        Subject::new(super::common::store(Engine::Dynoxide).await).keeping_ended()
    }

    ambo_testkit::store_suite!(subject);
}

mod on_dynamodb_local {
    use ambo_testkit::dynamo::Engine;
    use ambo_testkit::store_suite::Subject;

    async fn subject() -> Subject {
        Subject::new(super::common::store(Engine::DynamoDbLocal).await).keeping_ended()
    }

    ambo_testkit::store_suite!(subject);
}
