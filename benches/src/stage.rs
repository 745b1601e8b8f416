//! What is measured against: the stand-in, the proxy before it, the tables.

use crate::Scale;
use crate::measure::{Failure, Server};
use crate::proxy;
use icesync::config::Secret;
use icesync::mssql::channel::Channel;
use icesync::mssql::control::{Class, Control};
use icesync::mssql::environment;
use icesync::mssql::settings::Connection;
use icesync::mssql::sql::Statement;
use icesync::schema::columns::ColumnChoice;
use icesync::schema::{Fidelity, LakeSchema, TableKind, TableName, TableSchema, mapping};
use icesync::source;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const USER: &str = "sa";
/// The variable that hands the password on.
pub const PASSWORD: &str = "ICESYNC_BENCH_PASSWORD";

/// Servers and folders; gone when dropped.
pub struct Stage {
    pub folder: tempfile::TempDir,
    /// Where the icesync binaries are.
    pub binaries: PathBuf,
    pub password: String,
    /// The stand-in itself, and the proxy before it.
    pub direct: u16,
    pub replay: u16,
    _servers: [Server; 2],
}

/// A table that is replayed, and what icesync makes of it.
pub struct Replayed {
    pub name: &'static str,
    pub schema: TableSchema,
    pub lake: LakeSchema,
}

/// Name, columns, and the values of row `n`.
const TABLES: [(&str, &str, &str); 3] = [
    (
        "mixed",
        "id bigint NOT NULL PRIMARY KEY, customer int NOT NULL, amount decimal(18,4) NOT NULL, created datetime2(7) \
            NOT NULL, shipped date NULL, \
name nvarchar(40) NOT NULL, code varchar(12) NULL, active bit NOT NULL, weight float NULL, token uniqueidentifier NOT \
NULL",
        "n, n * 7919 % 50000, CONVERT(decimal(18,4), n * 104729 % 900000007) / 10000, DATEADD(second, n * 37, \
            CONVERT(datetime2(7), '2015-01-01T00:00:00.1234567')), \
CASE WHEN n % 5 = 0 THEN NULL ELSE DATEADD(day, n % 3000, CONVERT(date, '2015-01-01')) END, N'customer ' + \
CONVERT(nvarchar(20), n * 48271 % 100003), \
CASE WHEN n % 7 = 0 THEN NULL ELSE 'C' + CONVERT(varchar(10), n % 5000) END, CONVERT(bit, n % 2), \
CASE WHEN n % 11 = 0 THEN NULL ELSE CONVERT(float, n * 31 % 7001) / 7 END, NEWID()",
    ),
    (
        "narrow",
        "id bigint NOT NULL PRIMARY KEY, quantity int NOT NULL",
        "n, n * 7919 % 1000",
    ),
    (
        "text",
        "id bigint NOT NULL PRIMARY KEY, title nvarchar(200) NOT NULL, body nvarchar(2000) NOT NULL, plain \
            varchar(500) NOT NULL, remark nvarchar(400) NULL",
        "n, N'The title of document ' + CONVERT(nvarchar(20), n * 48271 % 100003), \
N'Caf\u{e9}s open ' + CONVERT(nvarchar(20), n) + REPLICATE(N' and a sentence with few new words in it', 6) + \
CONVERT(nvarchar(20), n * 7919 % 100003), \
'reference ' + CONVERT(varchar(20), n * 31 % 100003) + REPLICATE(' plain ascii', 8), CASE WHEN n % 3 = 0 THEN NULL \
ELSE N'remark ' + CONVERT(nvarchar(20), n % 977) END",
    ),
];

impl Replayed {
    /// How often its block is replayed, so that a copy is more than its beginning and its end.
    pub fn times(&self, scale: &Scale) -> u64 {
        let more = if self.name == "narrow" { 5 } else { 1 };
        scale.times * more
    }
}

impl Stage {
    /// Starts the servers and fills the tables to be replayed.
    pub async fn set_up(scale: &Scale) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let program = std::env::current_exe()?;
        let binaries = program.parent().unwrap_or(Path::new(".")).to_owned();
        let password = format!("Aa1{}", icesync::change::RunId::generate());
        let mut sandbox = Server(
            Command::new(binaries.join("icesync-sandbox"))
                .args([
                    "--listen",
                    "127.0.0.1:0",
                    "--user",
                    USER,
                    "--password-env",
                    PASSWORD,
                ])
                // Ranges are read from row versions.
                .args(["--database", "source", "--snapshot-isolation"])
                .env(PASSWORD, &password)
                .stdout(Stdio::piped())
                .spawn()?,
        );
        let direct = port(&mut sandbox)?;
        let times = folder.path().join("times");
        std::fs::write(&times, "1")?;
        let mut proxy = Server(
            Command::new(program)
                .args(["proxy", &format!("127.0.0.1:{direct}")])
                .arg(&times)
                .stdout(Stdio::piped())
                .spawn()?,
        );
        let replay = port(&mut proxy)?;
        let stage = Self {
            folder,
            binaries,
            password,
            direct,
            replay,
            _servers: [sandbox, proxy],
        };
        let mut control = Control::connect(&stage.connection(direct)?).await?;
        control.run(&numbers(scale.block), Class::LONG).await?;
        for (name, columns, values) in TABLES {
            let sql = format!(
                "CREATE TABLE dbo.replay_{name} ({columns}); INSERT INTO dbo.replay_{name} SELECT {values} FROM \
                    dbo.numbers;"
            );
            control.run(&Statement::plain(sql), Class::LONG).await?;
        }
        Ok(stage)
    }

    /// How often the next results are replayed.
    pub fn replay_times(&self, times: u64) -> Result<(), Failure> {
        Ok(std::fs::write(
            self.folder.path().join("times"),
            times.to_string(),
        )?)
    }

    pub fn connection_text(&self, port: u16) -> String {
        format!(
            "Server=127.0.0.1,{port};Database=source;User ID={USER};Password={};Encrypt=false",
            self.password
        )
    }

    fn connection(&self, port: u16) -> Result<Connection, Failure> {
        let text = Secret::new(self.connection_text(port));
        Ok(Connection::parse(text.expose())?)
    }

    pub async fn control(&self) -> Result<Control, Failure> {
        Ok(Control::connect(&self.connection(self.direct)?).await?)
    }

    /// A session of the data plane with the proxy.
    pub async fn channel(&self) -> Result<Channel, Failure> {
        Ok(Channel::connect(&self.connection(self.replay)?).await?)
    }

    /// The tables that are replayed, as discovered.
    pub async fn replayed(&self) -> Result<Vec<Replayed>, Failure> {
        let mut control = self.control().await?;
        let environment = Arc::new(environment::read(&mut control).await?);
        let mut tables = Vec::new();
        for (name, _, _) in TABLES {
            let table: TableName = format!("dbo.replay_{name}").parse()?;
            let all = ColumnChoice::default();
            let schema = source::discover(&mut control, &environment, &table, &all)
                .await?
                .schema;
            let lake = mapping::lake_schema(&schema, TableKind::Mirror, Fidelity::Exact)?;
            tables.push(Replayed { name, schema, lake });
        }
        Ok(tables)
    }

    /// A client of another maker, on a connection to the proxy.
    pub async fn tiberius(&self) -> Result<Tiberius, Failure> {
        use tokio_util::compat::TokioAsyncWriteCompatExt;
        let mut config = tiberius::Config::new();
        config.host("127.0.0.1");
        config.port(self.replay);
        config.database("source");
        config.packet_size(32_767);
        config.encryption(tiberius::EncryptionLevel::NotSupported);
        config.authentication(tiberius::AuthMethod::sql_server(USER, &self.password));
        let stream = tokio::net::TcpStream::connect(config.get_addr()).await?;
        stream.set_nodelay(true)?;
        Ok(tiberius::Client::connect(config, stream.compat_write()).await?)
    }

    /// Reads a replayed result and forgets it; answers its bytes.
    pub fn drain(&self, sql: &str) -> Result<u64, Failure> {
        Ok(proxy::drain(&format!("127.0.0.1:{}", self.replay), sql)?)
    }
}

pub type Tiberius = tiberius::Client<tokio_util::compat::Compat<tokio::net::TcpStream>>;

/// The port at the end of a server's first line.
fn port(server: &mut Server) -> Result<u16, Failure> {
    let stdout = server.0.stdout.take().ok_or("a server without stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let port = line.trim().rsplit(':').next().unwrap_or_default();
    port.parse()
        .map_err(|_| format!("a server said `{}` instead of its port", line.trim()).into())
}

/// Creates `dbo.numbers` with the column `n` from 0.
fn numbers(count: u64) -> Statement {
    let digits: Vec<String> = (0..10).map(|digit| format!("({digit})")).collect();
    Statement::plain(format!(
        "CREATE TABLE dbo.digits (d bigint NOT NULL); INSERT INTO dbo.digits VALUES {};
CREATE TABLE dbo.numbers (n bigint NOT NULL PRIMARY KEY);
INSERT INTO dbo.numbers SELECT x.n FROM (SELECT 100000 * a.d + 10000 * b.d + 1000 * c.d + 100 * e.d + 10 * f.d + g.d \
AS n FROM dbo.digits AS a CROSS JOIN dbo.digits AS b \
CROSS JOIN dbo.digits AS c CROSS JOIN dbo.digits AS e CROSS JOIN dbo.digits AS f CROSS JOIN dbo.digits AS g) AS x \
WHERE x.n < {count};",
        digits.join(", ")
    ))
}
