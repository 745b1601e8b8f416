use super::*;

#[test]
fn ado_strings_are_read_with_their_synonyms_and_quotes() {
    let c = Connection::parse(
        "Data Source=tcp:db.example.com,1444; Initial \
            Catalog=sales;UID=app;PWD=\"a;b\"\"c\";Encrypt=Mandatory;TrustServerCertificate=yes;Application \
            Name='it''s me';Connect Timeout=5;MultiSubnetFailover=true",
    )
    .unwrap();
    assert_eq!(c.host, "db.example.com");
    assert_eq!(c.port, Some(1444));
    assert_eq!(c.database, "sales");
    assert_eq!(c.user, "app");
    assert_eq!(c.password.expose(), "a;b\"c");
    assert_eq!(c.application, "it's me");
    assert_eq!(c.encryption, Encryption::Required);
    assert!(c.trust_server_certificate);
    assert_eq!(c.connect_timeout, Duration::from_secs(5));
    assert!(c.warnings.is_empty() && c.multi_subnet_failover);
    assert_eq!(c.server(), "db.example.com:1444");
    let braces = Connection::parse("server=h;user id=u;password={p;}}w}").unwrap();
    assert_eq!(braces.password.expose(), "p;}w");
}

#[test]
fn defaults_are_encrypted_and_verified() {
    let c = Connection::parse("Server=h;User ID=u;Password=").unwrap();
    assert_eq!(c.known_port(), Some(1433));
    assert_eq!(c.encryption, Encryption::Required);
    assert!(!c.trust_server_certificate);
    assert_eq!(c.password.expose(), "");
}

#[test]
fn an_intent_to_read_is_understood() {
    let read_only = |intent: &str| {
        let c = Connection::parse(&format!("Server=h;UID=u;PWD=p;{intent}"));
        c.map(|c| c.read_only)
    };
    assert_eq!(read_only(""), Ok(false));
    assert_eq!(read_only("ApplicationIntent=ReadOnly"), Ok(true));
    assert_eq!(read_only("Application Intent=read-only"), Ok(true));
    assert_eq!(read_only("applicationintent=READWRITE"), Ok(false));
    let refusal = read_only("ApplicationIntent=Write")
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("ReadOnly or ReadWrite"), "{refusal}");
    let url = Connection::parse("mssql://u:p@h/d?application_intent=readonly").unwrap();
    assert!(url.read_only);
}

#[test]
fn servers_instances_and_ports() {
    for (text, host, port, instance) in [
        (r"h\SQLEXPRESS", "h", None, Some("SQLEXPRESS")),
        (r"h\SQLEXPRESS,1500", "h", Some(1500), None),
        (r"h\MSSQLSERVER", "h", Some(1433), None),
        (".", "localhost", Some(1433), None),
        ("(local),99", "localhost", Some(99), None),
        ("tcp:[::1],1433", "::1", Some(1433), None),
    ] {
        let c = Connection::parse(&format!("Server={text};UID=u;PWD=p")).unwrap();
        assert_eq!(c.host, host, "{text}");
        assert_eq!(c.known_port(), port, "{text}");
        assert_eq!(c.instance.as_deref(), instance, "{text}");
    }
}

#[test]
fn urls_are_percent_decoded() {
    let c = Connection::parse(
        "mssql://ap%40p:p%3Aw%2F%E2%82%AC@db.example.com:1500/my%20db?encrypt=false&trust_server_certificate=true&a\
            pplication_name=x",
    )
    .unwrap();
    assert_eq!(c.user, "ap@p");
    assert_eq!(c.password.expose(), "p:w/€");
    assert_eq!((c.host.as_str(), c.port), ("db.example.com", Some(1500)));
    assert_eq!(c.database, "my db");
    assert_eq!(c.encryption, Encryption::Optional);
    assert!(c.trust_server_certificate);
    let v6 = Connection::parse("sqlserver://u:p@[::1]:1433/db").unwrap();
    assert_eq!(v6.host, "::1");
}

#[test]
fn refusals_name_the_problem_and_never_the_string() {
    let secrets = ["hunter2xyz", "hunterxyz", "hunter two"];
    for (text, expected) in [
        ("", "lacks everything"),
        ("Database=d;UID=u;PWD=hunter2xyz", "lacks a server"),
        ("Server=h;PWD=hunter2xyz", "lacks a user"),
        ("Server=h;UID=u", "lacks a password"),
        (
            "Server=h;UID=u;PWD=hunter2xyz;Encrpyt=true",
            "unknown setting `Encrpyt`",
        ),
        ("Server=h;UID=u;PWD=a;hunter2xyz=1", "not shown"),
        ("Server=h;UID=u;PWD=a;hunter2xyz", "key=value"),
        ("Server=h;UID=u;PWD='hunter2xyz", "not closed"),
        ("Server=h;UID=u;User=v;PWD=hunter2xyz", "twice"),
        (
            "Server=h;UID=u;PWD=hunter2xyz;Encrypt=maybe",
            "`Encrypt` must be",
        ),
        (
            "Server=h;UID=u;PWD=hunter2xyz;Encrypt=strict",
            "not supported",
        ),
        (
            "Server=h;UID=u;PWD=hunter2xyz;Authentication=hunter2xyz",
            "`Authentication` must be",
        ),
        ("Server=h,99999;UID=u;PWD=hunter2xyz", "port from 1"),
        ("Server=h:1433;UID=u;PWD=hunter2xyz", "comma"),
        ("Server=np:h;UID=u;PWD=hunter2xyz", "TCP"),
        ("mssql://u:hunter2xyz%zz@h/d", "hex digits"),
        ("mssql://u:hunter2xyz@h:nope/d", "percent-encode"),
        ("mssql://u:hunter2xyz@h/a/b", "one database"),
        ("mssql://u:hunter2xyz@h/d?frob=1", "(not shown)"),
        (
            "mssql://u:hunter2xyz@h/d?encrpyt=1",
            "unknown setting `encrpyt`",
        ),
        ("Server=h;UID=u;Password=ab;hunterxyz=9", "must be quoted"),
        ("Server=h;UID=u;Password=ab;hunter two=9", "`(not shown)`"),
        ("Server=h;UID=u;Passwort=hunter2xyz", "setting `Passwort`"),
        ("Server=h;Usr=hunter2xyz", "setting `Usr`"),
        (
            "Server=h;Failover Partner=hunter2xyz",
            "`Failover Partner` is not supported: connect to the principal",
        ),
    ] {
        let error = Connection::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(
            secrets.iter().all(|secret| !error.contains(secret)),
            "{text}: {error}"
        );
    }
}

#[test]
fn passwords_are_never_shown() {
    let c = Connection::parse("Server=h;UID=u;PWD=hunter2xyz;Database=d").unwrap();
    assert!(!format!("{c:?} {c}").contains("hunter2xyz"));
    assert_eq!(format!("{:?}", c.password), "***");
    assert_eq!(c.to_string(), "h:1433/d");
}

const LOGIN: &str = "Server=h;UID=u;PWD=hunter2xyz";

#[test]
fn every_documented_setting_is_honoured_refused_or_reported() {
    // The names of Microsoft.Data.SqlClient and of the ODBC driver, beyond those of the tests above, with a value.
    for (setting, becomes) in [
        ("Workstation ID=w", ""),
        ("WSID=w", ""),
        ("Command Timeout=5", ""),
        ("Connection Timeout=5", ""),
        ("Connect Timeout=5", ""),
        ("MultiSubnetFailover=yes", ""),
        ("Persist Security Info=False", ""),
        ("Persist Security Info=True", "no effect"),
        ("MultipleActiveResultSets=False", ""),
        ("MultipleActiveResultSets=True", "no effect"),
        ("MARS_Connection=yes", "no effect"),
        ("Pooling=true", "no effect"),
        ("Min Pool Size=1", "no effect"),
        ("Max Pool Size=9", "no effect"),
        ("Load Balance Timeout=9", "no effect"),
        ("Connection Lifetime=9", "no effect"),
        ("Pool Blocking Period=Auto", "no effect"),
        ("Packet Size=8000", "no effect"),
        ("Enlist=true", "no effect"),
        ("Transaction Binding=Implicit Unbind", "no effect"),
        ("Replication=true", "no effect"),
        ("Current Language=German", "no effect"),
        ("Type System Version=Latest", "no effect"),
        ("IP Address Preference=IPv4First", "no effect"),
        ("ConnectRetryCount=3", "no effect"),
        ("ConnectRetryInterval=3", "no effect"),
        ("Driver={ODBC Driver 18 for SQL Server}", "no effect"),
        ("KeepAlive=30", "no effect"),
        ("Failover Partner=other", "listener"),
        ("FailoverPartnerSPN=other", "listener"),
        ("ServerSPN=MSSQLSvc/h", "no effect"),
        ("ServerCertificate=/tmp/c.pem", "authority"),
        ("AttachDBFilename=c:\\d.mdf", "attach the database"),
        ("User Instance=false", ""),
        ("User Instance=true", "attach the database"),
        ("Column Encryption Setting=Disabled", ""),
        ("Column Encryption Setting=Enabled", "encrypted columns"),
        ("Attestation Protocol=HGS", "encrypted columns"),
        ("Network Library=dbnmpntw", "TCP"),
        ("DSN=mine", "connection string itself"),
        ("Integrated Security=false", ""),
        ("Trusted_Connection=yes", "Kerberos"),
        ("Access Token=t", "the token is the login"),
        ("Client Certificate=c.pem", "Entra ID"),
        ("Tenant ID=t", "Entra ID"),
    ] {
        let key = setting.split('=').next().unwrap();
        match Connection::parse_where(&format!("{LOGIN};{setting}"), false) {
            Ok(c) if becomes.is_empty() => assert_eq!(c.warnings, [""; 0], "{setting}"),
            Ok(c) => {
                assert_eq!(c.warnings.len(), 1, "{setting}");
                let warning = &c.warnings[0];
                assert!(warning.contains(becomes), "{setting}: {warning}");
                assert!(warning.contains(&format!("`{key}`")), "{warning}");
            }
            Err(error) => {
                let error = error.to_string();
                let told = !becomes.is_empty() && error.contains(becomes) && error.contains(key);
                assert!(told && !error.contains("hunter2"), "{setting}: {error}");
            }
        }
    }
}

#[test]
fn limits_and_names_arrive() {
    let c = Connection::parse(&format!("{LOGIN};Command Timeout=5;Workstation ID=w")).unwrap();
    assert_eq!(c.command_timeout, Some(Duration::from_secs(5)));
    assert_eq!(c.workstation.as_deref(), Some("w"));
    let c = Connection::parse(&format!("{LOGIN};Command Timeout=0")).unwrap();
    assert_eq!(c.command_timeout, Some(Duration::from_secs(86_400)));
    let c = Connection::parse(LOGIN).unwrap();
    assert_eq!((c.command_timeout, c.workstation), (None, None));
    let c = Connection::parse("mssql://u:p@h/d?command_timeout=7&multi_subnet_failover=true");
    let c = c.unwrap();
    assert_eq!(c.command_timeout, Some(Duration::from_secs(7)));
    assert!(c.multi_subnet_failover);
    let error = Connection::parse(r"Server=h\i;UID=u;PWD=p;MultiSubnetFailover=true").unwrap_err();
    assert!(error.to_string().contains("Server=host,port"), "{error}");
}

#[test]
fn logins_of_entra_id_are_read() {
    let entra = |text: &str| Connection::parse(&format!("Server=H;{text}")).unwrap();
    let principal = entra(
        "Authentication=Active Directory Service Principal;UID=app;PWD=hunter2xyz;Tenant ID=t",
    );
    assert!(!format!("{principal:?}").contains("hunter2xyz"));
    assert_eq!(
        (principal.user.as_str(), principal.password.expose()),
        ("", "")
    );
    let login = principal.entra.unwrap();
    assert_eq!(login.tenant.as_deref(), Some("t"));
    assert_eq!(login.cloud, Cloud::Public);
    let secret = Secret::new("hunter2xyz");
    let client_id = "app".to_owned();
    assert_eq!(
        login.credential,
        Credential::ClientSecret { client_id, secret }
    );

    let credential = |text: &str| entra(text).entra.unwrap().credential;
    let certificate = credential(
        "Authentication=ActiveDirectoryServicePrincipal;UID=app;Client Certificate=/c.pfx;PWD=p",
    );
    let expected = Credential::Certificate {
        client_id: "app".into(),
        file: SecretFile::new("Client Certificate", "/c.pfx"),
        password: Secret::new("p"),
    };
    assert_eq!(certificate, expected);
    assert_eq!(
        credential("Authentication=ActiveDirectoryMSI"),
        Credential::ManagedIdentity { client_id: None }
    );
    assert_eq!(
        credential("Authentication=ActiveDirectoryManagedIdentity;User ID=me"),
        Credential::ManagedIdentity {
            client_id: Some("me".into())
        }
    );
    assert_eq!(
        credential("Authentication=ActiveDirectoryWorkloadIdentity;Token File=/t"),
        Credential::WorkloadIdentity {
            client_id: None,
            token_file: Some(SecretFile::new("Token File", "/t"))
        }
    );
    assert_eq!(
        credential("Authentication=ActiveDirectoryDefault"),
        Credential::Default { client_id: None }
    );
    assert_eq!(
        credential("Access Token=abc"),
        Credential::Token(Secret::new("abc"))
    );
    let url = Connection::parse("mssql://h/d?access_token_command=print%20token").unwrap();
    let expected = Credential::Command(Secret::new("print token"));
    assert_eq!(url.entra.unwrap().credential, expected);
    let host =
        entra("Authentication=ActiveDirectoryDefault;Authority Host=login.microsoftonline.us/");
    let host = host.entra.unwrap().authority;
    assert_eq!(host.as_deref(), Some("https://login.microsoftonline.us"));
    let unused = entra("Authentication=ActiveDirectoryManagedIdentity;Tenant ID=t;PWD=hunter2xyz");
    assert_eq!(unused.warnings.len(), 2, "{:?}", unused.warnings);
}

#[test]
fn logins_of_entra_id_that_do_not_fit_together_are_refused() {
    for (text, expected) in [
        (
            "Authentication=ActiveDirectoryServicePrincipal;PWD=hunter2xyz",
            "client id",
        ),
        (
            "Authentication=ActiveDirectoryServicePrincipal;UID=app",
            "Client Certificate=file",
        ),
        (
            "Authentication=ActiveDirectoryServicePrincipal;UID=app;PWD=",
            "secret",
        ),
        ("Authentication=ActiveDirectoryInteractive", "browser"),
        (
            "Authentication=ActiveDirectoryPassword;UID=u;PWD=hunter2xyz",
            "multi-factor",
        ),
        (
            "Authentication=ActiveDirectoryDefault;Encrypt=false",
            "in the clear",
        ),
        ("Access Token=hunter2xyz;Encrypt=optional", "in the clear"),
        ("Access Token=hunter2xyz;UID=u", "the token is the login"),
        (
            "Access Token=hunter2xyz;Access Token Command=hunter2xyz",
            "write one of them",
        ),
        (
            "Access Token=hunter2xyz;Authentication=ActiveDirectoryDefault",
            "the token is the login",
        ),
        ("Access Token=", "is empty"),
        ("Access Token Command=", "is empty"),
        (
            "Authentication=ActiveDirectoryDefault;Authority Host=http://e.com",
            "https://",
        ),
    ] {
        let error = Connection::parse(&format!("Server=h;{text}")).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("hunter2xyz"), "{text}: {error}");
    }
}

#[test]
fn logins_by_kerberos_are_read() {
    let read = |text: &str| Connection::parse_where(text, true).unwrap();
    for asked in [
        "Integrated Security=SSPI",
        "integrated security=true",
        "Trusted_Connection=yes",
    ] {
        let c = read(&format!("Server=db.example.com,1444;{asked};Database=d"));
        assert_eq!(c.kerberos, Some(Kerberos { server_spn: None }), "{asked}");
        assert_eq!((c.user.as_str(), c.warnings.len()), ("", 0), "{asked}");
    }
    let url = read("mssql://db/d?integrated_security=true");
    assert!(url.kerberos.is_some() && url.entra.is_none());
    let c = read("Server=alias;Trusted_Connection=yes;Server SPN=mssqlsvc/db.example.com:1433");
    let service = c.kerberos.unwrap().server_spn.unwrap();
    assert_eq!(service.to_string(), "MSSQLSvc/db.example.com:1433");
    assert_eq!(service.on_host(), "MSSQLSvc@db.example.com:1433");
    let c = read("Server=h;Trusted_Connection=yes;Server SPN=MSSQLSvc/db:1433@EXAMPLE.COM");
    let service = c.kerberos.unwrap().server_spn.unwrap();
    assert_eq!(service.realm.as_deref(), Some("EXAMPLE.COM"));
    assert_eq!(service.to_string(), "MSSQLSvc/db:1433@EXAMPLE.COM");
    assert_eq!(service.principal(), "MSSQLSvc/db:1433");
    assert_eq!(service.on_host(), "MSSQLSvc@db:1433");
    let sql_login = read(&format!("{LOGIN};Integrated Security=false"));
    assert_eq!((sql_login.kerberos, sql_login.user.as_str()), (None, "u"));
}

#[test]
fn logins_by_kerberos_that_do_not_fit_together_are_refused() {
    for (text, expected) in [
        ("UID=u", "the Kerberos ticket is the login"),
        ("PWD=hunter2xyz", "the Kerberos ticket is the login"),
        (
            "Authentication=ActiveDirectoryDefault",
            "the Kerberos ticket is the login",
        ),
        ("Authentication=SqlPassword", "Kerberos ticket is the login"),
        (
            "Access Token=hunter2xyz",
            "the Kerberos ticket is the login",
        ),
        ("Server SPN=MSSQLSvc/db", "MSSQLSvc/host:port"),
        ("Server SPN=MSSQLSvc/db:one", "MSSQLSvc/host:port"),
        ("Server SPN=MSSQLSvc/db:1433@", "MSSQLSvc/host:port@REALM"),
        ("Server SPN=MSSQLSvc/db:1433@R@R", "MSSQLSvc/host:port"),
        ("Server SPN=HTTP/db:1433", "`Server SPN` must be MSSQLSvc"),
    ] {
        let text = format!("Server=h;Integrated Security=SSPI;{text}");
        let error = Connection::parse_where(&text, true).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("hunter2xyz"), "{text}: {error}");
    }
    let instance = Connection::parse_where(r"Server=h\i;Integrated Security=SSPI", true);
    let error = instance.unwrap_err().to_string();
    assert!(error.contains("Server=host,port"), "{error}");
    let neither = Connection::parse_where("Server=h;Integrated Security=maybe", true);
    let error = neither.unwrap_err().to_string();
    assert!(error.contains("true, false or SSPI"), "{error}");
}

#[test]
fn a_build_without_kerberos_names_the_feature() {
    for asked in ["Integrated Security=SSPI", "Trusted_Connection=yes"] {
        let error = Connection::parse_where(&format!("Server=h;{asked}"), false).unwrap_err();
        let error = error.to_string();
        let (key, _) = asked.split_once('=').unwrap();
        assert!(error.contains(&format!("`{key}=true`")), "{error}");
        assert!(error.contains("--features kerberos"), "{error}");
    }
}

#[test]
fn servers_of_one_cloud_share_a_login() {
    let login = |server: &str| {
        let text = format!("Server={server};Authentication=ActiveDirectoryManagedIdentity");
        Connection::parse(&text).unwrap().entra.unwrap()
    };
    let one = login("one.database.windows.net");
    assert_eq!(one, login("TWO.database.windows.net"));
    assert_eq!(one, login("sql.example.com"));
    let government = login("one.database.usgovcloudapi.net.");
    assert_eq!(government.cloud, Cloud::UsGovernment);
    assert_eq!(login("a.Database.chinacloudapi.cn").cloud, Cloud::China);
    assert_ne!(one, government);
}

#[test]
fn a_token_for_any_certificate_is_warned_of_once() {
    let warnings = |text: &str| Connection::parse(text).unwrap().warnings;
    let trusting = "Server=h;Authentication=ActiveDirectoryDefault;TrustServerCertificate=true";
    let warned = warnings(trusting);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("gets the token"), "{warned:?}");
    assert_eq!(warnings(&trusting.replace("true", "false")), [""; 0]);
    assert_eq!(
        warnings(&format!("{LOGIN};TrustServerCertificate=true")),
        [""; 0]
    );
}

#[test]
fn a_login_by_kerberos_to_any_server_is_warned_of_once() {
    let warnings = |text: &str| {
        let text = format!("Server=h;Integrated Security=SSPI;{text}");
        Connection::parse_where(&text, true).unwrap().warnings
    };
    for (text, setting, remedy) in [
        (
            "TrustServerCertificate=true",
            "`TrustServerCertificate` is true",
            "Remove the setting",
        ),
        ("Encrypt=false", "`Encrypt` is false", "Encrypt=true"),
        (
            "Encrypt=optional;TrustServerCertificate=true",
            "`Encrypt` is false",
            "Encrypt=true",
        ),
    ] {
        let warned = warnings(text);
        assert_eq!(warned.len(), 1, "{text}: {warned:?}");
        assert!(warned[0].contains(setting), "{text}: {warned:?}");
        assert!(warned[0].contains(remedy), "{text}: {warned:?}");
        assert!(warned[0].contains("forge the rows"), "{text}: {warned:?}");
    }
    assert_eq!(warnings("Encrypt=true"), [""; 0]);
    assert_eq!(warnings("TrustServerCertificate=false"), [""; 0]);
}

#[test]
fn a_secret_in_the_place_of_a_path_is_not_shown() {
    for text in [
        "Authentication=ActiveDirectoryServicePrincipal;UID=a;Client Certificate='-----BEGIN hunter2xyz'",
        "Authentication=ActiveDirectoryServicePrincipal;UID=a;Client Certificate=MIIhunter2xyz",
        "Authentication=ActiveDirectoryWorkloadIdentity;Token File=eyJhunter2xyz",
    ] {
        let connection = Connection::parse(&format!("Server=h;{text}")).unwrap();
        let shown = format!("{connection:?}");
        assert!(!shown.contains("hunter2xyz"), "{shown}");
    }
}
