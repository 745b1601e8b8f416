//! What the catalog knows of databases, tables, indexes and principals.

use crate::engine::collation::Collate;
pub use crate::engine::storage::Table;
use crate::engine::tracking;
use crate::sql::ast;
use crate::value::{SqlType, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A table, view or other object: database slot and object id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    pub database: usize,
    pub id: i32,
}

/// A column with everything the catalog shows of it. Its place in `TableDef::columns` is its place in a row.
#[derive(Debug, Clone)]
pub struct Column {
    /// Never reused within the table.
    pub id: i32,
    pub name: String,
    pub ty: SqlType,
    pub collate: Option<Arc<Collate>>,
    pub nullable: bool,
    pub identity: Option<Identity>,
    pub default: Option<DefaultConstraint>,
    pub computed: Option<Computed>,
    pub user_type_id: i32,
    pub row_guid: bool,
    pub sparse: bool,
    /// The masking function, as `sys.masked_columns` has it.
    pub mask: Option<String>,
    /// `GENERATED ALWAYS AS ROW START` or `END`.
    pub generated: Option<ast::Generated>,
    /// Left out of `SELECT *`.
    pub hidden: bool,
}

impl Column {
    /// What orders the column's values.
    pub fn order(&self) -> Option<&Collate> {
        let collate = self.collate.as_ref()?;
        Some(collate.of(&self.ty))
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Identity {
    pub seed: i128,
    pub increment: i128,
}

#[derive(Debug, Clone)]
pub struct DefaultConstraint {
    pub id: i32,
    pub name: String,
    pub system_named: bool,
    pub expr: ast::Expr,
    /// As `definition` shows it.
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct Computed {
    pub expr: ast::Expr,
    pub persisted: bool,
}

/// An index; a PRIMARY KEY or UNIQUE constraint is one with `constraint_id`.
#[derive(Debug, Clone)]
pub struct Index {
    pub id: i32,
    pub name: String,
    /// Column ordinals and whether each descends.
    pub columns: Vec<(usize, bool)>,
    pub include: Vec<usize>,
    pub unique: bool,
    pub primary: bool,
    pub clustered: bool,
    pub constraint_id: Option<i32>,
    pub system_named: bool,
    pub ignore_duplicates: bool,
    pub filter: Option<ast::Spelled<ast::Condition>>,
    pub compression: ast::Compression,
    /// What identifies its storage after it was rebuilt alone; none: the table's.
    pub storage: Option<i32>,
}

impl Index {
    /// Of a name and columns, and nothing else that is special. It gets its id with its table.
    pub fn plain(name: &str, columns: Vec<(usize, bool)>) -> Self {
        Self {
            id: 0,
            name: name.to_owned(),
            columns,
            include: Vec::new(),
            unique: false,
            primary: false,
            clustered: false,
            constraint_id: None,
            system_named: false,
            ignore_duplicates: false,
            filter: None,
            compression: ast::Compression::None,
            storage: None,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Check {
    pub id: i32,
    pub name: String,
    pub system_named: bool,
    pub condition: ast::Condition,
    /// As `definition` shows it.
    pub text: String,
    pub enabled: bool,
    /// Every row is known to satisfy it.
    pub trusted: bool,
}

#[derive(Debug, Clone)]
pub struct ForeignKey {
    pub id: i32,
    pub name: String,
    pub system_named: bool,
    pub columns: Vec<usize>,
    pub references: ObjectRef,
    /// Column ids in the referenced table.
    pub referenced: Vec<i32>,
    pub on_delete: ast::ReferentialAction,
    pub on_update: ast::ReferentialAction,
    pub enabled: bool,
    /// Every row is known to satisfy it.
    pub trusted: bool,
}

#[derive(Debug, Clone)]
pub struct Trigger {
    pub id: i32,
    pub name: String,
    pub events: Vec<ast::TriggerEvent>,
    pub body: Arc<Vec<ast::Statement>>,
    pub text: String,
    pub enabled: bool,
    pub not_for_replication: bool,
}

#[derive(Debug, Clone)]
pub struct Statistics {
    pub id: i32,
    pub name: String,
    pub columns: Vec<usize>,
}

/// What a temporary name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    Permanent,
    /// `#t`, `##t`: gone with its session or scope.
    Temporary,
    /// `@t`: gone with its batch, and untouched by ROLLBACK.
    Variable,
}

#[derive(Debug, Clone)]
pub struct TableDef {
    pub id: i32,
    pub schema_id: i32,
    pub name: String,
    pub columns: Vec<Column>,
    pub next_column_id: i32,
    pub indexes: Vec<Index>,
    pub next_index_id: i32,
    pub checks: Vec<Check>,
    pub foreign_keys: Vec<ForeignKey>,
    pub triggers: Vec<Trigger>,
    pub statistics: Vec<Statistics>,
    /// Of the heap; a clustered index takes it over.
    pub compression: ast::Compression,
    pub lifetime: Lifetime,
    /// Ids of the columns of PERIOD FOR SYSTEM_TIME.
    pub period: Option<(i32, i32)>,
    /// SYSTEM_VERSIONING is ON.
    pub versioning: Option<Versioning>,
    /// The table whose history this is.
    pub history_of: Option<i32>,
    /// 100 ns ticks since 0001-01-01, local time.
    pub created: i64,
    pub modified: i64,
}

/// What SYSTEM_VERSIONING = ON keeps.
#[derive(Debug, Clone)]
pub struct Versioning {
    /// Id of the history table.
    pub history: i32,
    pub retention: ast::Retention,
}

impl TableDef {
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| same_name(&column.name, name))
    }

    pub fn identity(&self) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.identity.is_some())
    }

    pub fn rowversion(&self) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.ty == SqlType::RowVersion)
    }

    pub fn primary_key(&self) -> Option<&Index> {
        self.indexes.iter().find(|index| index.primary)
    }
}

#[derive(Debug, Clone)]
pub struct View {
    pub schema_id: i32,
    pub name: String,
    pub columns: Vec<ast::Ident>,
    pub query: ast::Query,
    pub text: String,
    pub created: i64,
}

#[derive(Debug, Clone)]
pub struct Sequence {
    pub schema_id: i32,
    pub name: String,
    pub ty: SqlType,
    pub start: i128,
    pub increment: i128,
    pub min: i128,
    pub max: i128,
    pub cycle: bool,
    /// The next value; none when exhausted.
    pub next: Option<i128>,
    pub created: i64,
}

#[derive(Debug, Clone)]
pub enum Object {
    Table(Box<Table>),
    View(Arc<View>),
    Sequence(Box<Sequence>),
}

impl Object {
    pub fn name(&self) -> &str {
        match self {
            Object::Table(table) => &table.def.name,
            Object::View(view) => &view.name,
            Object::Sequence(sequence) => &sequence.name,
        }
    }

    pub fn schema_id(&self) -> i32 {
        match self {
            Object::Table(table) => table.def.schema_id,
            Object::View(view) => view.schema_id,
            Object::Sequence(sequence) => sequence.schema_id,
        }
    }

    /// Gives it another schema and name.
    pub fn set_place(&mut self, schema_id: i32, name: &str) {
        let (schema, known) = match self {
            Object::Table(table) => {
                let def = Arc::make_mut(&mut table.def);
                (&mut def.schema_id, &mut def.name)
            }
            Object::View(view) => {
                let view = Arc::make_mut(view);
                (&mut view.schema_id, &mut view.name)
            }
            Object::Sequence(sequence) => (&mut sequence.schema_id, &mut sequence.name),
        };
        *schema = schema_id;
        name.clone_into(known);
    }
}

#[derive(Debug, Clone)]
pub struct Schema {
    pub id: i32,
    pub name: String,
    pub principal_id: i32,
}

/// `CREATE TYPE .. FROM` and `.. AS TABLE`.
#[derive(Debug, Clone)]
pub struct AliasType {
    pub user_type_id: i32,
    pub schema_id: i32,
    pub name: String,
    pub kind: AliasKind,
}

#[derive(Debug, Clone)]
pub enum AliasKind {
    Scalar { base: SqlType, nullable: bool },
    Table(Box<ast::TableDefinition>),
}

#[derive(Debug, Clone)]
pub struct Principal {
    pub id: i32,
    pub name: String,
    pub role: bool,
    /// The login that maps to this user.
    pub login: Option<String>,
    pub default_schema: String,
    /// Names of the roles it is in.
    pub member_of: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurableRef {
    Database,
    Schema(i32),
    Object(i32),
}

#[derive(Debug, Clone)]
pub struct Grant {
    pub principal: String,
    pub permission: String,
    pub securable: SecurableRef,
    pub deny: bool,
}

/// Everything of a database that rolls back as one piece.
#[derive(Debug, Clone)]
pub struct Security {
    pub principals: Vec<Principal>,
    pub grants: Vec<Grant>,
}

#[derive(Debug)]
pub struct Database {
    pub id: i32,
    pub name: String,
    pub collate: Arc<Collate>,
    pub schemas: Vec<Schema>,
    pub objects: BTreeMap<i32, Object>,
    pub names: HashMap<(i32, String), i32>,
    pub types: Vec<AliasType>,
    pub security: Security,
    /// The last rowversion given out.
    pub rowversion: u64,
    pub next_object_id: i32,
    pub read_committed_snapshot: bool,
    pub allow_snapshot: bool,
    pub compatibility_level: u32,
    pub recovery: &'static str,
    pub read_only: bool,
    pub replica: Replica,
    /// Changes with a restore.
    pub recovery_fork: u128,
    pub policies: Vec<Policy>,
    pub functions: Vec<Function>,
    pub tracking: tracking::Log,
    pub capture: crate::engine::capture::Capture,
    pub created: i64,
}

/// What a database is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replica {
    /// None: it is written to here.
    #[default]
    Primary,
    /// A readable secondary replica: reads take row versions at every level, and ignore locking hints.
    Secondary,
    /// CREATE DATABASE .. AS SNAPSHOT OF.
    Snapshot,
    /// RESTORE .. WITH STANDBY.
    Standby,
}

/// An inline table-valued function, which a security policy filters by.
#[derive(Debug, Clone)]
pub struct Function {
    pub schema_id: i32,
    pub name: String,
    /// With their `@`.
    pub parameters: Vec<String>,
    /// The text of the query after RETURN.
    pub body: String,
}

/// A security policy: its FILTER predicates.
#[derive(Debug, Clone)]
pub struct Policy {
    pub id: i32,
    pub schema_id: i32,
    pub name: String,
    pub enabled: bool,
    pub predicates: Vec<Predicate>,
}

/// A FILTER predicate of a security policy.
#[derive(Debug, Clone)]
pub struct Predicate {
    /// Id of the table that it filters.
    pub table: i32,
    /// Schema id and name of the function.
    pub function: (i32, String),
    /// Columns that are its arguments.
    pub columns: Vec<String>,
}

impl Database {
    /// The function of a schema id and a name.
    pub fn function(&self, (schema, name): &(i32, String)) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| function.schema_id == *schema && same_name(&function.name, name))
    }

    /// Whether statements may change its rows.
    pub fn is_writable(&self) -> bool {
        !self.read_only && self.replica == Replica::Primary
    }

    /// Whether one of these users and roles owns a schema.
    pub fn owns(&self, names: &[String], schema: i32) -> bool {
        let schema = self.schemas.iter().find(|known| known.id == schema);
        let owner = schema.and_then(|schema| {
            let mut principals = self.security.principals.iter();
            principals.find(|principal| principal.id == schema.principal_id)
        });
        owner.is_some_and(|owner| names.iter().any(|name| same_name(name, &owner.name)))
    }

    pub fn new(id: i32, name: &str, collate: Arc<Collate>, created: i64) -> Self {
        let schema = |id, name: &str| Schema {
            id,
            name: name.to_string(),
            principal_id: id,
        };
        Self {
            id,
            name: name.to_string(),
            collate,
            schemas: vec![
                schema(1, "dbo"),
                schema(2, "guest"),
                schema(3, "INFORMATION_SCHEMA"),
                schema(4, "sys"),
            ],
            objects: BTreeMap::new(),
            names: HashMap::new(),
            types: Vec::new(),
            security: Security {
                principals: fixed_principals(),
                grants: Vec::new(),
            },
            rowversion: 2000,
            next_object_id: 901_578_250,
            read_committed_snapshot: false,
            allow_snapshot: false,
            compatibility_level: 160,
            recovery: "FULL",
            read_only: false,
            replica: Replica::default(),
            recovery_fork: 0x6F1C_2A34_0000_4000_8000_0000_0000_0000 + id as u128,
            policies: Vec::new(),
            functions: Vec::new(),
            tracking: tracking::Log::default(),
            capture: crate::engine::capture::Capture::default(),
            created,
        }
    }

    pub fn schema(&self, name: &str) -> Option<&Schema> {
        self.schemas
            .iter()
            .find(|schema| same_name(&schema.name, name))
    }

    pub fn schema_name(&self, id: i32) -> &str {
        self.schemas
            .iter()
            .find(|schema| schema.id == id)
            .map_or("", |schema| schema.name.as_str())
    }

    pub fn new_object_id(&mut self) -> i32 {
        self.next_object_id += 16;
        self.next_object_id
    }

    pub fn table(&self, id: i32) -> Option<&Table> {
        match self.objects.get(&id) {
            Some(Object::Table(table)) => Some(table),
            Some(Object::View(_) | Object::Sequence(_)) | None => None,
        }
    }

    pub fn table_mut(&mut self, id: i32) -> Option<&mut Table> {
        match self.objects.get_mut(&id) {
            Some(Object::Table(table)) => Some(table),
            Some(Object::View(_) | Object::Sequence(_)) | None => None,
        }
    }

    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.objects.values().filter_map(|object| match object {
            Object::Table(table) => Some(table.as_ref()),
            Object::View(_) | Object::Sequence(_) => None,
        })
    }
}

/// The principals that every database has.
fn fixed_principals() -> Vec<Principal> {
    let role = |id: i32, name: &str| Principal {
        id,
        name: name.to_string(),
        role: true,
        login: None,
        default_schema: "dbo".into(),
        member_of: Vec::new(),
    };
    let user = |id, name: &str, login: Option<&str>| Principal {
        role: false,
        login: login.map(str::to_string),
        ..role(id, name)
    };
    let mut principals = vec![
        role(0, "public"),
        user(1, "dbo", Some("sa")),
        user(2, "guest", None),
    ];
    let fixed = [
        "db_owner",
        "db_accessadmin",
        "db_securityadmin",
        "db_ddladmin",
        "db_backupoperator",
        "db_datareader",
        "db_datawriter",
        "db_denydatareader",
        "db_denydatawriter",
    ];
    principals.extend(
        fixed
            .iter()
            .zip([
                16384, 16385, 16386, 16387, 16389, 16390, 16391, 16392, 16393,
            ])
            .map(|(n, id)| role(id, n)),
    );
    principals
}

/// The key of a name in the catalog: the stand-in's catalogs compare names without case.
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

pub fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!a.is_ascii() && fold(a) == fold(b))
}

/// A row as it is stored.
pub type Row = Arc<[Value]>;
