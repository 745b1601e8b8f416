//! Logins, users, roles, and permissions.

use super::{Ident, ObjectName};

/// `CREATE FUNCTION name (parameters) RETURNS TABLE AS RETURN query`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateFunction {
    pub name: ObjectName,
    /// With their `@`.
    pub parameters: Vec<String>,
    /// The query's text.
    pub body: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CreatePolicy {
    pub name: ObjectName,
    pub predicates: Vec<FilterPredicate>,
    pub enabled: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FilterPredicate {
    pub function: ObjectName,
    pub columns: Vec<Ident>,
    pub table: ObjectName,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AlterPolicy {
    pub name: ObjectName,
    pub enabled: bool,
}

/// CREATE or ALTER LOGIN; an absent field was not written.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    pub name: Ident,
    pub password: Option<String>,
    /// `OLD_PASSWORD` of ALTER LOGIN.
    pub old_password: Option<String>,
    pub default_database: Option<Ident>,
    pub default_language: Option<Ident>,
    pub check_policy: Option<bool>,
    pub check_expiration: Option<bool>,
    /// ALTER LOGIN .. ENABLE | DISABLE
    pub enable: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct User {
    pub name: Ident,
    pub login: UserLogin,
    pub default_schema: Option<Ident>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum UserLogin {
    /// FOR | FROM LOGIN name; without the clause, the user's own name.
    Login(Option<Ident>),
    WithoutLogin,
    /// WITH PASSWORD = '..' (contained)
    Password(String),
}

/// ALTER ROLE, ALTER SERVER ROLE
#[derive(Debug, Clone, PartialEq)]
pub struct AlterRole {
    pub role: Ident,
    pub server: bool,
    /// ADD MEMBER; otherwise DROP MEMBER.
    pub add: bool,
    pub member: Ident,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Permission {
    pub kind: PermissionKind,
    /// Upper case, words separated by single spaces: `VIEW CHANGE TRACKING`. ALL is `ALL`.
    pub permissions: Vec<(String, Vec<Ident>)>,
    pub on: Option<Securable>,
    pub principals: Vec<Ident>,
    /// GRANT .. WITH GRANT OPTION, REVOKE GRANT OPTION FOR
    pub grant_option: bool,
    pub cascade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermissionKind {
    Grant,
    Deny,
    Revoke,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Securable {
    pub class: SecurableClass,
    pub name: ObjectName,
    pub columns: Vec<Ident>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurableClass {
    /// The default, and `OBJECT::`.
    Object,
    Schema,
    Database,
    Type,
    User,
    Role,
    Login,
}
