use super::*;
use crate::sql::ast::*;
use crate::value::SqlType;

/// An expression with its grouping made visible.
fn shape(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(Literal::Int(value)) => value.to_string(),
        ExprKind::Column(name) => name.to_string(),
        ExprKind::Variable(name) => name.clone(),
        ExprKind::Unary { op, expr } => format!("({op:?} {})", shape(expr)),
        ExprKind::Binary { op, left, right } => {
            format!("({op:?} {} {})", shape(left), shape(right))
        }
        ExprKind::Collate { expr, collation } => {
            format!("(Collate {} {})", shape(expr), collation.text)
        }
        ExprKind::AtTimeZone { expr, zone } => format!("(Zone {} {})", shape(expr), shape(zone)),
        other => format!("{other:?}"),
    }
}

fn condition_shape(condition: &Condition) -> String {
    let joined = |terms: &[Condition]| {
        terms
            .iter()
            .map(condition_shape)
            .collect::<Vec<_>>()
            .join(" ")
    };
    match &condition.kind {
        ConditionKind::And(terms) => format!("(And {})", joined(terms)),
        ConditionKind::Or(terms) => format!("(Or {})", joined(terms)),
        ConditionKind::Not(inner) => format!("(Not {})", condition_shape(inner)),
        ConditionKind::Compare { op, left, right } => {
            format!("({op:?} {} {})", shape(left), shape(right))
        }
        ConditionKind::Between {
            negated,
            expr,
            low,
            high,
        } => format!(
            "(Between {negated} {} {} {})",
            shape(expr),
            shape(low),
            shape(high)
        ),
        ConditionKind::IsNull { negated, expr } => format!("(Null {negated} {})", shape(expr)),
        other => format!("{other:?}"),
    }
}

#[test]
fn operators_group_as_in_sql_server() {
    let cases = [
        ("1 + 2 * 3 - 4", "(Subtract (Add 1 (Multiply 2 3)) 4)"),
        ("1 - 2 - 3", "(Subtract (Subtract 1 2) 3)"),
        (
            "a & b + c | d ^ e",
            "(BitXor (BitOr (Add (BitAnd a b) c) d) e)",
        ),
        ("-a * b", "(Minus (Multiply a b))"),
        (
            "-100 / -100 * 10",
            "(Minus (Divide 100 (Minus (Multiply 100 10))))",
        ),
        ("-a + b", "(Add (Minus a) b)"),
        ("~a * b", "(Multiply (BitNot a) b)"),
        ("(1 + 2) * 3", "(Multiply (Add 1 2) 3)"),
        ("a + b COLLATE x", "(Add a (Collate b x))"),
        ("a AT TIME ZONE @a AT TIME ZONE @b", "(Zone (Zone a @a) @b)"),
    ];
    for (text, grouped) in cases {
        assert_eq!(shape(&expr(text)), grouped, "in: {text}");
    }
    let cases = [
        (
            "a = 1 OR b = 2 AND c = 3",
            "(Or (Equal a 1) (And (Equal b 2) (Equal c 3)))",
        ),
        ("NOT a = 1 AND b = 2", "(And (Not (Equal a 1)) (Equal b 2))"),
        (
            "a = 1 AND b = 2 AND c = 3",
            "(And (Equal a 1) (Equal b 2) (Equal c 3))",
        ),
        ("(a) + 1 = (b)", "(Equal (Add a 1) b)"),
        ("((a = 1))", "(Equal a 1)"),
        (
            "a BETWEEN 1 AND 2 AND b NOT BETWEEN 3 AND 4",
            "(And (Between false a 1 2) (Between true b 3 4))",
        ),
        ("a + 1 IS NOT NULL", "(Null true (Add a 1))"),
        (
            "a !< 1 AND a !> 2 AND a != 3",
            "(And (GreaterOrEqual a 1) (LessOrEqual a 2) (NotEqual a 3))",
        ),
    ];
    for (text, grouped) in cases {
        let filter = select(&format!("SELECT 1 WHERE {text}"))
            .filter
            .expect("a WHERE clause");
        assert_eq!(condition_shape(&filter), grouped, "in: {text}");
    }
}

#[test]
fn literals_are_exact() {
    let decimal = |unscaled, precision, scale| Literal::Decimal {
        unscaled,
        precision,
        scale,
    };
    let text = |text: &str, national| Literal::Str {
        text: text.to_owned(),
        national,
    };
    let cases = [
        ("0", Literal::Int(0)),
        ("000123", Literal::Int(123)),
        ("2147483647", Literal::Int(i32::MAX)),
        ("2147483648", decimal(2_147_483_648, 10, 0)),
        ("1.50", decimal(150, 3, 2)),
        (".5", decimal(5, 1, 1)),
        ("0.05", decimal(5, 2, 2)),
        ("1.", decimal(1, 1, 0)),
        ("0.", decimal(0, 1, 0)),
        (
            "99999999999999999999999999999999999999",
            decimal(10i128.pow(38) - 1, 38, 0),
        ),
        ("1e3", Literal::Float(1000.0)),
        ("1.5E-1", Literal::Float(0.15)),
        ("1e", Literal::Float(1.0)),
        ("$1.5", Literal::Money(15_000)),
        ("$1.00005", Literal::Money(10_001)),
        ("$", Literal::Money(0)),
        ("'a''b'", text("a'b", false)),
        ("N'\u{1f600}'", text("\u{1f600}", true)),
        ("n'x'", text("x", true)),
        ("'a\\\r\nb\\c'", text("ab\\c", false)),
        ("0x", Literal::Binary(vec![])),
        ("0xABC", Literal::Binary(vec![0x0a, 0xbc])),
        ("0XaBcD", Literal::Binary(vec![0xab, 0xcd])),
        ("NULL", Literal::Null),
    ];
    for (source, literal) in cases {
        assert_eq!(
            expr_kind(source),
            ExprKind::Literal(literal),
            "in: {source}"
        );
    }
    // As in SQL Server, a number ends where its digits do.
    let items = select("SELECT 1a, 0xAGH").items;
    let aliases: Vec<_> = items
        .iter()
        .map(|item| {
            matches!(
                item,
                SelectItem::Expr { alias: Some(alias), .. } if alias.text == "a" || alias.text == "GH"
            )
        })
        .collect();
    assert_eq!(aliases, [true, true]);
}

#[test]
fn trim_becomes_a_plain_call() {
    for (text, name, count) in [
        ("TRIM(a)", "TRIM", 1),
        ("TRIM('x' FROM a)", "TRIM", 2),
        ("TRIM(BOTH 'x' FROM a)", "TRIM", 2),
        ("TRIM(LEADING 'x' FROM a)", "LTRIM", 2),
        ("TRIM(TRAILING 'x' FROM a)", "RTRIM", 2),
    ] {
        let ExprKind::Function(call) = expr_kind(text) else {
            panic!("a call: {text}")
        };
        let Args::List(args) = call.args else {
            panic!("arguments: {text}")
        };
        assert_eq!((call.name.object(), args.len()), (name, count), "{text}");
        assert_eq!(shape(&args[0]), "a", "{text}");
    }
    assert_eq!(
        parse_batch("SELECT TRIM(a, 'x')").map_err(|error| error.number),
        Err(102)
    );
}

#[test]
fn quoted_identifier_off_makes_strings() {
    let off = parse_batch_with("SELECT \"a\"\"b\"", false).expect("parses");
    assert!(
        format!("{off:?}").contains("Str { text: \"a\\\"b\", national: false }"),
        "{off:?}"
    );
    assert!(matches!(
        expr_kind("\"a\""),
        ExprKind::Column(name) if name.parts[0] == Ident { text: "a".into(), quoted: true }
    ));
}

#[test]
fn names_keep_their_parts() {
    let ExprKind::Column(name) = expr_kind("[s v].db..[t]]x]") else {
        panic!("a column")
    };
    assert_eq!(
        (name.server(), name.database(), name.schema(), name.object()),
        (Some("s v"), Some("db"), None, "t]x")
    );
    assert_eq!(name.to_string(), "s v.db..t]x");
    assert!(matches!(expr_kind("a.b.c()"), ExprKind::Function(call) if call.name.parts.len() == 3));
    assert!(
        matches!(expr_kind("geography::Point(1, 2, 3).STAsText()"), ExprKind::Method { name, .. } if name.text == "STAs\
            Text")
    );
    assert!(
        matches!(expr_kind("CURRENT_TIMESTAMP"), ExprKind::Function(call) if call.args == Args::Niladic)
    );
}

#[test]
fn types_resolve_with_their_defaults() {
    let decimal = |precision, scale, numeric| SqlType::Decimal {
        precision,
        scale,
        numeric,
    };
    let cases = [
        ("decimal", decimal(18, 0, false)),
        ("numeric(5)", decimal(5, 0, true)),
        ("dec(38, 38)", decimal(38, 38, false)),
        ("varchar", SqlType::VarChar(Some(1))),
        ("nvarchar(max)", SqlType::NVarChar(None)),
        (
            "national character varying(10)",
            SqlType::NVarChar(Some(10)),
        ),
        ("char varying(3)", SqlType::VarChar(Some(3))),
        ("nchar", SqlType::NChar(1)),
        ("binary varying(3)", SqlType::VarBinary(Some(3))),
        ("datetime2", SqlType::DateTime2(7)),
        ("time(0)", SqlType::Time(0)),
        ("datetimeoffset(3)", SqlType::DateTimeOffset(3)),
        ("float(24)", SqlType::Real),
        ("float(25)", SqlType::Float),
        ("double precision", SqlType::Float),
        ("timestamp", SqlType::RowVersion),
        ("[sys].[INT]", SqlType::Int),
        ("national text", SqlType::NText),
    ];
    for (text, ty) in cases {
        assert_eq!(parse_type(text), Ok(TypeName::Builtin(ty)), "in: {text}");
    }
    assert_eq!(parse_type("sysname"), Ok(TypeName::SysName));
    assert!(matches!(parse_type("dbo.Flag"), Ok(TypeName::Named(name)) if name.object() == "Flag"));
    assert!(matches!(
        expr_kind("CAST(1 AS varchar)"),
        ExprKind::Cast {
            ty: TypeName::Builtin(SqlType::VarChar(Some(30))),
            ..
        }
    ));
    assert_eq!(parse_type("int x").map_err(|error| error.number), Err(102));
}

#[test]
fn declarations_of_parameters() {
    assert_eq!(parse_declarations("  "), Ok(vec![]));
    let declared = parse_declarations(
        "@a int, @b AS nvarchar(10) = N'x' OUTPUT, @c dbo.T READONLY, @d varbinary(max) out",
    )
    .expect("parses");
    let seen: Vec<_> = declared
        .iter()
        .map(|param| {
            (
                param.name.as_str(),
                param.default.is_some(),
                param.output,
                param.read_only,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("@a", false, false, false),
            ("@b", true, true, false),
            ("@c", false, false, true),
            ("@d", false, true, false)
        ]
    );
    assert_eq!(
        parse_declarations("@a int @b int").map_err(|error| error.number),
        Err(102)
    );
}

#[test]
fn lines_are_where_statements_and_expressions_start() {
    let statements =
        parsed("-- one\nSELECT\n  1 +\n  @a\n\n/* \n */ UPDATE t SET a = 'x\ny'\nPRINT 1");
    assert_eq!(
        statements
            .iter()
            .map(|statement| statement.line)
            .collect::<Vec<_>>(),
        [2, 7, 9]
    );
    let StatementKind::Select(query) = &statements[0].kind else {
        panic!("a SELECT")
    };
    let QueryBody::Select(select) = &query.body else {
        panic!("a SELECT")
    };
    assert!(matches!(&select.items[0], SelectItem::Expr { expr, .. } if expr.line == 3));
}

#[test]
fn joins_nest_as_written() {
    let from = select("SELECT * FROM a JOIN b JOIN c ON b.x = c.x ON a.x = b.x").from;
    let TableSourceKind::Join { left, right, .. } = &from[0].kind else {
        panic!("a join")
    };
    assert!(matches!(&left.kind, TableSourceKind::Table { name, .. } if name.object() == "a"));
    assert!(matches!(&right.kind, TableSourceKind::Join { .. }));
    let from = select("SELECT * FROM a JOIN b ON 1 = 1 CROSS JOIN c").from;
    let TableSourceKind::Join {
        left,
        kind: JoinKind::Cross,
        ..
    } = &from[0].kind
    else {
        panic!("a cross join")
    };
    assert!(matches!(
        &left.kind,
        TableSourceKind::Join {
            kind: JoinKind::Inner,
            ..
        }
    ));
}

#[test]
fn set_operators_group_as_in_sql_server() {
    let QueryBody::SetOperation {
        op, left, right, ..
    } = query("SELECT 1 UNION SELECT 2 INTERSECT SELECT 3").body
    else {
        panic!("a set operation")
    };
    assert_eq!(op, SetOp::Union);
    assert!(matches!(*left, QueryBody::Select(_)));
    assert!(matches!(
        *right,
        QueryBody::SetOperation {
            op: SetOp::Intersect,
            ..
        }
    ));
    let QueryBody::SetOperation { op, left, .. } =
        query("SELECT 1 UNION ALL SELECT 2 EXCEPT SELECT 3").body
    else {
        panic!("a set operation")
    };
    assert_eq!(op, SetOp::Except);
    assert!(matches!(
        *left,
        QueryBody::SetOperation {
            op: SetOp::UnionAll,
            ..
        }
    ));
}

#[test]
fn hints_and_options_are_kept() {
    let StatementKind::Update(update) = only(
        "UPDATE TOP (@n) q SET batch = @b FROM ice.q_t AS q WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK) WHERE batch IS \
            NULL",
    ) else {
        panic!("an UPDATE")
    };
    assert!(update.top.is_some());
    let TableSourceKind::Table { hints, alias, .. } = &update.from[0].kind else {
        panic!("a table")
    };
    assert_eq!(
        *hints,
        [
            TableHint::RowLock,
            TableHint::ReadPast,
            TableHint::ReadCommittedLock
        ]
    );
    assert_eq!(alias.as_ref().map(|alias| alias.text.as_str()), Some("q"));
    assert_eq!(
        query("SELECT 1 OPTION (MAXDOP 4, RECOMPILE)").options,
        [QueryHint::MaxDop(4), QueryHint::Recompile]
    );
    let StatementKind::InsertBulk(bulk) =
        only("INSERT BULK #s ([a] int) WITH (TABLOCK, ORDER(a DESC))")
    else {
        panic!("INSERT BULK")
    };
    assert_eq!(
        bulk.options,
        [
            BulkOption::TabLock,
            BulkOption::Order(vec![(
                Ident {
                    text: "a".into(),
                    quoted: false
                },
                true
            )])
        ]
    );
}

#[test]
fn update_tells_variables_from_columns() {
    let StatementKind::Update(update) =
        only("UPDATE t SET @v = a = b + 1, @w = c, @x += d, e -= 1, f = DEFAULT")
    else {
        panic!("an UPDATE")
    };
    let seen: Vec<_> = update
        .set
        .iter()
        .map(|item| match item {
            Assignment::Column {
                variable,
                column,
                op,
                value,
            } => {
                format!(
                    "{variable:?} {column} {op:?} {}",
                    *value == ValueOrDefault::Default
                )
            }
            Assignment::Variable { variable, op, .. } => format!("{variable} {op:?}"),
        })
        .collect();
    assert_eq!(
        seen,
        [
            "Some(\"@v\") a None false",
            "@w None",
            "@x Some(Add)",
            "None e Some(Subtract) false",
            "None f None true"
        ]
    );
}

#[test]
fn merge_keeps_its_clauses() {
    let recipe = recipes()
        .into_iter()
        .find(|recipe| recipe.starts_with("-- merge\n"))
        .expect("the recipe");
    let StatementKind::Merge(merge) = only(recipe) else {
        panic!("a MERGE")
    };
    let seen: Vec<_> = merge
        .clauses
        .iter()
        .map(|clause| (clause.when, clause.condition.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            (MergeWhen::Matched, true),
            (MergeWhen::Matched, true),
            (MergeWhen::NotMatchedByTarget, true)
        ]
    );
    assert_eq!(merge.options, [QueryHint::Recompile]);
    assert!(
        matches!(&merge.target, Target::Table { hints, .. } if *hints == [TableHint::HoldLock])
    );
    assert_eq!(merge.alias.map(|alias| alias.text), Some("d".to_owned()));
}

#[test]
fn statements_after_conditions_and_commits_are_their_own() {
    let statements = parsed("IF @a < 1 OR @b > 2 THROW 51001, N'resync', 1; SELECT 1");
    assert!(matches!(
        &statements[0].kind,
        StatementKind::If(branch) if matches!(branch.then.kind, StatementKind::Throw(Some(_)))
    ));
    let statements = parsed("COMMIT SELECT 1 ROLLBACK THROW");
    assert_eq!(statements.len(), 4);
    assert_eq!(statements[3].kind, StatementKind::Throw(None));
    let statements = parsed("EXEC p SELECT 1");
    assert!(matches!(
        &statements[0].kind,
        StatementKind::Execute(execute)
            if matches!(&execute.call, Call::Procedure { args, .. } if args.is_empty())
    ));
}

#[test]
fn a_view_and_a_trigger_keep_their_text() {
    let text = "-- why\nCREATE VIEW v AS SELECT 1 AS a;\n";
    assert!(matches!(only(text), StatementKind::CreateView(view) if view.text == text));
    let text = "CREATE TRIGGER tr ON t AFTER INSERT AS SELECT 1; SELECT 2";
    assert!(
        matches!(only(text), StatementKind::CreateTrigger(trigger) if trigger.text == text && trigger.body.len() == 2)
    );
}

#[test]
fn permissions_keep_their_words() {
    let StatementKind::Permission(permission) = only(
        "GRANT VIEW  CHANGE TRACKING, SELECT (a, b), exec ON SCHEMA::ice TO u WITH GRANT OPTION",
    ) else {
        panic!("a GRANT")
    };
    let names: Vec<_> = permission
        .permissions
        .iter()
        .map(|(name, columns)| (name.as_str(), columns.len()))
        .collect();
    assert_eq!(
        names,
        [("VIEW CHANGE TRACKING", 0), ("SELECT", 2), ("EXECUTE", 0)]
    );
    assert!(permission.grant_option);
    assert_eq!(
        permission.on.map(|on| on.class),
        Some(SecurableClass::Schema)
    );
}
