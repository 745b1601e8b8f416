//! Logins, users, roles, and GRANT, DENY, REVOKE.

use super::Parser;
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};

impl Parser<'_> {
    pub(super) fn create_login(&mut self) -> SyntaxResult<StatementKind> {
        let mut login = self.login_name()?;
        self.expect(Keyword::With)?;
        if !self.at("PASSWORD") {
            return Err(self.syntax_error());
        }
        self.list(|parser| parser.login_option(&mut login))?;
        Ok(StatementKind::CreateLogin(login))
    }

    pub(super) fn alter_login(&mut self) -> SyntaxResult<StatementKind> {
        let mut login = self.login_name()?;
        if self.eat("ENABLE") {
            login.enable = Some(true);
        } else if self.eat("DISABLE") {
            login.enable = Some(false);
        } else {
            self.expect(Keyword::With)?;
            self.list(|parser| parser.login_option(&mut login))?;
        }
        Ok(StatementKind::AlterLogin(login))
    }

    fn login_name(&mut self) -> SyntaxResult<Login> {
        Ok(Login {
            name: self.ident()?,
            password: None,
            old_password: None,
            default_database: None,
            default_language: None,
            check_policy: None,
            check_expiration: None,
            enable: None,
        })
    }

    fn login_option(&mut self, login: &mut Login) -> SyntaxResult<()> {
        if self.eat_pair("PASSWORD", Symbol::Equal) {
            login.password = Some(self.string()?);
            if self.eat_pair("OLD_PASSWORD", Symbol::Equal) {
                login.old_password = Some(self.string()?);
            }
        } else if self.eat_pair("DEFAULT_DATABASE", Symbol::Equal) {
            login.default_database = Some(self.ident()?);
        } else if self.eat_pair("DEFAULT_LANGUAGE", Symbol::Equal) {
            login.default_language = Some(self.ident()?);
        } else if self.eat("CHECK_POLICY") {
            login.check_policy = Some(self.equals_on_off()?);
        } else {
            self.expect("CHECK_EXPIRATION")?;
            login.check_expiration = Some(self.equals_on_off()?);
        }
        Ok(())
    }

    pub(super) fn create_user(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::User)?;
        let name = self.ident()?;
        let mut user = User {
            name,
            login: UserLogin::Login(None),
            default_schema: None,
        };
        if self.eat(Keyword::For) || self.eat(Keyword::From) {
            self.expect("LOGIN")?;
            user.login = UserLogin::Login(Some(self.ident()?));
        } else if self.eat_pair("WITHOUT", "LOGIN") {
            user.login = UserLogin::WithoutLogin;
        }
        if self.eat(Keyword::With) {
            self.list(|parser| {
                if parser.eat_pair("DEFAULT_SCHEMA", Symbol::Equal) {
                    user.default_schema = Some(parser.ident()?);
                    return Ok(());
                }
                if user.login != UserLogin::Login(None)
                    || !parser.eat_pair("PASSWORD", Symbol::Equal)
                {
                    return Err(parser.syntax_error());
                }
                user.login = UserLogin::Password(parser.string()?);
                Ok(())
            })?;
        }
        Ok(StatementKind::CreateUser(user))
    }

    pub(super) fn alter_role(&mut self) -> SyntaxResult<StatementKind> {
        let server = self.eat("SERVER");
        self.expect("ROLE")?;
        let role = self.ident()?;
        let add = self.eat(Keyword::Add);
        if !add {
            self.expect(Keyword::Drop)?;
        }
        self.expect("MEMBER")?;
        let member = self.ident()?;
        Ok(StatementKind::AlterRole(AlterRole {
            role,
            server,
            add,
            member,
        }))
    }

    pub(super) fn permission(&mut self, keyword: Keyword) -> SyntaxResult<StatementKind> {
        self.next();
        let kind = match keyword {
            Keyword::Grant => PermissionKind::Grant,
            Keyword::Deny => PermissionKind::Deny,
            _ => PermissionKind::Revoke,
        };
        let mut grant_option = false;
        if kind == PermissionKind::Revoke && self.eat_pair(Keyword::Grant, Keyword::Option) {
            self.expect(Keyword::For)?;
            grant_option = true;
        }
        let permissions = self.list(Self::permission_name)?;
        let on = if self.eat(Keyword::On) {
            Some(self.securable()?)
        } else {
            None
        };
        let from = kind == PermissionKind::Revoke && self.eat(Keyword::From);
        if !from {
            self.expect(Keyword::To)?;
        }
        let principals = self.list(Self::principal)?;
        let cascade = kind != PermissionKind::Grant && self.eat(Keyword::Cascade);
        if kind == PermissionKind::Grant && self.eat_pair(Keyword::With, Keyword::Grant) {
            self.expect(Keyword::Option)?;
            grant_option = true;
        }
        Ok(StatementKind::Permission(Permission {
            kind,
            permissions,
            on,
            principals,
            grant_option,
            cascade,
        }))
    }

    /// Its words up to a column list, a comma, ON, TO or FROM.
    fn permission_name(&mut self) -> SyntaxResult<(String, Vec<Ident>)> {
        let mut name = String::new();
        loop {
            let token = self.peek();
            let ends = self.at(Keyword::On) || self.at(Keyword::To) || self.at(Keyword::From);
            if ends || !matches!(token.kind, TokenKind::Word | TokenKind::Keyword(_)) {
                break;
            }
            if !name.is_empty() {
                name.push(' ');
            }
            name.push_str(&self.text(token).to_ascii_uppercase());
            self.next();
        }
        match name.as_str() {
            "" => return Err(self.syntax_error()),
            "EXEC" => name = "EXECUTE".to_owned(),
            "ALL PRIVILEGES" => name = "ALL".to_owned(),
            _ => {}
        }
        let columns = if self.at(Symbol::OpenParen) {
            self.ident_list()?
        } else {
            Vec::new()
        };
        Ok((name, columns))
    }

    fn securable(&mut self) -> SyntaxResult<Securable> {
        const CLASSES: &[(&str, SecurableClass)] = &[
            ("OBJECT", SecurableClass::Object),
            ("SCHEMA", SecurableClass::Schema),
            ("DATABASE", SecurableClass::Database),
            ("TYPE", SecurableClass::Type),
            ("USER", SecurableClass::User),
            ("ROLE", SecurableClass::Role),
            ("LOGIN", SecurableClass::Login),
        ];
        let mut class = SecurableClass::Object;
        if self.at_ahead(1, Symbol::DoubleColon) {
            let found = CLASSES.iter().find(|(word, _)| self.at(*word));
            class = found.ok_or_else(|| self.syntax_error())?.1;
            self.position += 2;
        }
        let name = self.object_name()?;
        let columns = if self.at(Symbol::OpenParen) {
            self.ident_list()?
        } else {
            Vec::new()
        };
        Ok(Securable {
            class,
            name,
            columns,
        })
    }

    /// A user or role; `public` is a reserved word.
    fn principal(&mut self) -> SyntaxResult<Ident> {
        if self.at(Keyword::Public) {
            let token = self.next();
            return Ok(Ident::new(self.text(token)));
        }
        self.ident()
    }
}
