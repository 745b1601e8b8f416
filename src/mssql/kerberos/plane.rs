//! The two planes, as Kerberos sees them.

/// Whose driver the ticket is for. They write the service's name in different forms, which differ in the realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mssql) enum Plane {
    /// A principal: of the default realm.
    Control,
    /// A service on a host: of the host's realm.
    Data,
}
