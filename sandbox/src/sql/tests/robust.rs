use super::*;
use crate::sql::lexer::{TokenKind, tokens};
use std::time::{Duration, Instant};

/// Runs on a thread with the stack that a blocking thread of the server has.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(run)
        .expect("a thread");
    assert!(
        thread.join().is_ok(),
        "the stack overflowed or an assertion failed"
    );
}

#[test]
fn a_batch_cut_anywhere_parses_or_fails() {
    for recipe in recipes() {
        let ends: Vec<usize> = tokens(recipe, true)
            .expect("tokens")
            .iter()
            .map(|token| token.end)
            .collect();
        let mut failed = 0;
        for end in ends {
            failed += usize::from(parse_batch(&recipe[..end]).is_err());
        }
        assert!(failed > 0, "every beginning parsed: {recipe}");
    }
}

#[test]
fn a_batch_without_any_one_token_parses_or_fails() {
    for recipe in recipes() {
        for token in tokens(recipe, true)
            .expect("tokens")
            .iter()
            .filter(|token| token.kind != TokenKind::End)
        {
            let without = format!("{} {}", &recipe[..token.start], &recipe[token.end..]);
            if let Err(error) = parse_batch(&without) {
                assert!(error.line >= 1 && !error.message.is_empty());
            }
        }
    }
}

#[test]
fn a_batch_cut_at_any_character_parses_or_fails() {
    let text = "SELECT N'é''', [a]]b], \"c\", $1.5, 0xAB, 1e5, %%physloc%%, @@x, @y, $action /* x /* y */ */ -- z\n+ \
        1.5";
    for (end, _) in text.char_indices() {
        let _ = parse_batch(&text[..end]);
        let _ = parse_batch_with(&text[end..], false);
        let _ = parse_declarations(&text[end..]);
    }
}

#[test]
fn nesting_is_bounded() {
    on_small_stack(|| {
        let n = 100_000;
        let texts = [
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("SELECT {}", "(".repeat(n)),
            format!("SELECT {}1", "- ".repeat(n)),
            format!("SELECT {}1", "~".repeat(n)),
            format!("SELECT 1 WHERE {} 1 = 1", "NOT ".repeat(n)),
            format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)),
            format!("SELECT {}1{}", "f(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1", "CASE WHEN 1 = 1 THEN ".repeat(n)),
            format!("SELECT 1{}", " + 1".repeat(n)),
            format!("SELECT a{}", " COLLATE x".repeat(n)),
            format!("SELECT f(){}", ".g()".repeat(n)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(n)),
            format!("{}SELECT 1", "(".repeat(n)),
            format!("SELECT * FROM {}t", "(".repeat(n)),
            format!("SELECT * FROM t{}", " CROSS JOIN t".repeat(n)),
            format!("SELECT * FROM t{}", " JOIN t".repeat(n)),
            format!("SELECT * FROM {}", "(SELECT * FROM ".repeat(n)),
            "BEGIN ".repeat(n),
            "IF 1 = 1 ".repeat(n),
            "WHILE 1 = 1 ".repeat(n),
        ];
        for text in texts {
            let error = parse_batch(&text).expect_err("nested too deeply");
            assert_eq!(error.number, 191, "{error} in {}", &text[..40]);
        }
    });
}

/// Chains inside parentheses inside chains: tall trees that no one level shows.
#[test]
fn height_is_bounded_across_levels() {
    let mut text = "1".to_owned();
    for _ in 0..50 {
        text = format!("({text}{})", " + 1".repeat(50));
    }
    assert_eq!(
        parse_batch(&format!("SELECT {text}"))
            .expect_err("too tall")
            .number,
        191
    );
}

#[test]
fn ordinary_depth_is_enough_on_a_small_stack() {
    on_small_stack(|| {
        let n = 60;
        let texts = [
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)),
            format!(
                "SELECT {}1{}",
                "CASE WHEN 1 = 1 THEN ".repeat(n),
                " END".repeat(n)
            ),
            format!("SELECT 1{}", " + 1".repeat(500)),
            format!(
                "SELECT 1 WHERE 1 = 1{}",
                " OR (a = 1 AND b = 2)".repeat(20_000)
            ),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(500)),
            format!("SELECT 1 WHERE a IN (1{})", ", 2".repeat(50_000)),
        ];
        for text in texts {
            assert!(
                parse_batch(&text).is_ok(),
                "{:?} in {}",
                parse_batch(&text),
                &text[..40]
            );
        }
    });
}

#[test]
fn a_thousand_rows_parse_in_linear_time() {
    let row = format!(
        "({})",
        ["N'abcdef'"; 10].join(", ") + ", " + &["12345"; 10].join(", ")
    );
    let insert = |rows: usize| {
        format!(
            "INSERT INTO dbo.t VALUES {}",
            vec![row.as_str(); rows].join(",\n")
        )
    };
    let time = |rows: usize| {
        let text = insert(rows);
        let runs = (0..5).map(|_| {
            let start = Instant::now();
            assert!(parse_batch(&text).is_ok());
            start.elapsed()
        });
        runs.min().unwrap_or_default()
    };
    let (one, eight) = (time(1000), time(8000));
    assert!(one < Duration::from_millis(100), "1,000 rows took {one:?}");
    assert!(
        eight < one * 32,
        "8,000 rows took {eight:?}, 1,000 took {one:?}"
    );
    eprintln!("1,000 rows of 20 columns: {one:?}; 8,000 rows: {eight:?}");
}
