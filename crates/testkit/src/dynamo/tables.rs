//! The three tables, as the stack of `infrastructure/` makes them.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};

/// Makes the tables of sessions, connections and limits, by these names.
pub async fn create_tables(client: &Client, names: [&str; 3]) {
    create_lasting_tables(client, names).await;
    let [sessions, connections, rate_limits] = names;
    expire_by(client, sessions, "expiresAt").await;
    expire_by(client, connections, "ttl").await;
    expire_by(client, rate_limits, "expiresAt").await;
}

/// The same, but from which nothing is thrown away, for tests in a time that is long over.
pub async fn create_lasting_tables(client: &Client, names: [&str; 3]) {
    let [sessions, connections, rate_limits] = names;
    let index = GlobalSecondaryIndex::builder()
        .index_name("sessionId-targetLanguage-index")
        .key_schema(key("sessionId", KeyType::Hash))
        .key_schema(key("targetLanguage", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .unwrap();
    let connections = table(client, connections, "connectionId")
        .attribute_definitions(attribute("sessionId"))
        .attribute_definitions(attribute("targetLanguage"))
        .global_secondary_indexes(index);
    connections.send().await.unwrap();
    table(client, sessions, "sessionId").send().await.unwrap();
    table(client, rate_limits, "identifier").send().await.unwrap();
}

fn table(client: &Client, name: &str, key_name: &str) -> CreateTableFluentBuilder {
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute(key_name))
        .key_schema(key(key_name, KeyType::Hash))
}

fn attribute(name: &str) -> AttributeDefinition {
    let string = AttributeDefinition::builder().attribute_type(ScalarAttributeType::S);
    string.attribute_name(name).build().unwrap()
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}

async fn expire_by(client: &Client, table: &str, attribute: &str) {
    let by = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute);
    let request = client.update_time_to_live().table_name(table);
    request.time_to_live_specification(by.build().unwrap()).send().await.unwrap();
}
