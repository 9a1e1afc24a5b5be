//! OpenBao's database engine with a real PostgreSQL: it creates users that live as long as their leases.

use super::Bao;
use crate::rig::postgres::postgres;
use reqwest::Method;
use serde_json::json;

/// The permissions of a database user.
const CREATE: &str = r#"CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"#;
/// A user that owns a table, so it cannot be dropped.
const CREATE_WITH_TABLE: &str = r#"CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}';
    CREATE TABLE "t_{{name}}" (); ALTER TABLE "t_{{name}}" OWNER TO "{{name}}""#;

impl Bao {
    /// Mounts the engine as `database`, with its own database; returns its URL.
    pub async fn enable_database(&self) -> String {
        let url = postgres().database().await;
        self.enable("database", r#"{"type":"database"}"#).await;
        let password = postgres().password();
        let template = url.replace(&format!("claviger:{password}@"), "{{username}}:{{password}}@");
        let config = json!({
            "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": template,
            "username": "claviger", "password": password,
        });
        self.ok(Method::POST, "database/config/pg", &config.to_string()).await;
        url
    }

    /// A role whose users have this lifetime, and this maximum with renewals.
    pub async fn database_role(&self, name: &str, ttl: &str, max_ttl: &str) {
        self.role(name, CREATE, ttl, max_ttl).await;
    }

    /// A role whose users cannot be dropped.
    pub async fn database_role_that_owns_a_table(&self, name: &str) {
        self.role(name, CREATE_WITH_TABLE, "1h", "2h").await;
    }

    /// A role whose users take this many seconds to create.
    pub async fn slow_database_role(&self, name: &str, seconds: u32) {
        self.role(name, &format!("{CREATE}; SELECT pg_sleep({seconds})"), "1h", "2h").await;
    }

    /// The number of leases of a role.
    pub async fn leases_of(&self, role: &str) -> usize {
        let list = Method::from_bytes(b"LIST").unwrap();
        let (status, answer) = self.call(list, &format!("sys/leases/lookup/database/creds/{role}"), "").await;
        if status == 404 { 0 } else { answer["data"]["keys"].as_array().unwrap().len() }
    }

    async fn role(&self, name: &str, creation: &str, ttl: &str, max_ttl: &str) {
        let role = json!({
            "db_name": "pg", "creation_statements": [creation], "default_ttl": ttl, "max_ttl": max_ttl,
        });
        self.ok(Method::POST, &format!("database/roles/{name}"), &role.to_string()).await;
    }
}
