//! The server's side of a login by Kerberos.

/// Takes a client's first token: who the client is, and the answer that shows the client who the server is. The
/// service's key comes from the default keytab.
#[cfg(feature = "kerberos")]
pub(super) fn accept(token: &[u8]) -> Result<(String, Vec<u8>), String> {
    use libgssapi::context::{SecurityContext, ServerCtx};
    use libgssapi::credential::{Cred, CredUsage};
    use libgssapi::error::Error;
    use libgssapi::oid::{GSS_MECH_KRB5, OidSet};

    let accepted = || -> Result<(String, Vec<u8>), Error> {
        let mechanisms = OidSet::singleton(GSS_MECH_KRB5)?;
        let service = Cred::acquire(None, None, CredUsage::Accept, Some(&mechanisms))?;
        let mut session = ServerCtx::new(Some(service));
        let answer = session.step(token, None)?;
        let answer = answer.map(|answer| answer.to_vec()).unwrap_or_default();
        let name = session.source_name()?.display_name()?;
        Ok((String::from_utf8_lossy(&name).into_owned(), answer))
    };
    accepted().map_err(|error| error.to_string())
}

#[cfg(not(feature = "kerberos"))]
pub(super) fn accept(_token: &[u8]) -> Result<(String, Vec<u8>), String> {
    Err("the stand-in was built without its feature `kerberos`".to_owned())
}
