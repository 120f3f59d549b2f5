//! Splits a check into tokens.

use super::literal::Op;

/// A token of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A word without quotes: a keyword, a field, a kind, a size, an address.
    Word(String),
    /// A quoted string, unescaped. Bytes, because `\xHH` can be any byte.
    Text(Vec<u8>),
    Op(Op),
    Open,
    Close,
    Comma,
    End,
    /// Not a token, and why. Always the last.
    Invalid(String),
}

/// A token and its position, in bytes.
#[derive(Clone, Debug)]
pub struct Lexed {
    pub token: Token,
    pub at: usize,
}

/// Splits a check into tokens. The last one is [`Token::End`] or [`Token::Invalid`].
pub fn lex(text: &str) -> Vec<Lexed> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let blanks = lexer.rest().len() - lexer.rest().trim_start().len();
        lexer.at += blanks;
        let mut at = lexer.at;
        let token = lexer.token().unwrap_or_else(|invalid| {
            at = invalid.at;
            Token::Invalid(invalid.what)
        });
        let is_last = matches!(token, Token::End | Token::Invalid(_));
        tokens.push(Lexed { token, at });
        if is_last {
            return tokens;
        }
    }
}

struct Invalid {
    at: usize,
    what: String,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// Whether a character can be part of a word.
fn is_word(letter: char) -> bool {
    !letter.is_whitespace()
        && !matches!(letter, '(' | ')' | ',' | '=' | '!' | '<' | '>' | '"' | '\'' | '&' | '|' | ';')
        && !matches!(letter, '“' | '”' | '„' | '‘' | '’' | '«' | '»')
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn invalid(&self, what: impl Into<String>) -> Invalid {
        Invalid { at: self.at, what: what.into() }
    }

    fn token(&mut self) -> Result<Token, Invalid> {
        const SIGNS: [(&str, Token); 10] = [
            ("==", Token::Op(Op::Equal)),
            ("!=", Token::Op(Op::Unequal)),
            ("<=", Token::Op(Op::AtMost)),
            (">=", Token::Op(Op::AtLeast)),
            ("=", Token::Op(Op::Equal)),
            ("<", Token::Op(Op::Less)),
            (">", Token::Op(Op::Greater)),
            ("(", Token::Open),
            (")", Token::Close),
            (",", Token::Comma),
        ];
        const INSTEAD: [(&str, &str); 10] = [
            ("=<", "<="),
            ("=>", ">="),
            ("<>", "!="),
            ("!", "not"),
            ("&&", "and"),
            ("&", "and"),
            ("||", "or"),
            ("|", "or"),
            ("=~", "="),
            (";", "and"),
        ];
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if let Some((sign, instead)) = INSTEAD.iter().find(|(sign, _)| rest.starts_with(sign))
            && !rest.starts_with("!=")
        {
            return Err(self.invalid(format!("unknown operator `{sign}`; write `{instead}`")));
        }
        if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.at += sign.len();
            return Ok(token.clone());
        }
        if matches!(first, '"' | '\'') {
            return self.string_in(first);
        }
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.invalid(format!("`{first}` is not a valid quotation mark; use \" or '")));
        }
        self.at += end;
        Ok(Token::Word(rest[..end].to_owned()))
    }

    /// A quoted string, from its opening quote.
    fn string_in(&mut self, quote: char) -> Result<Token, Invalid> {
        let unterminated = self.invalid(format!("unterminated string: missing the closing {quote}"));
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            let Some(letter) = self.rest().chars().next() else { return Err(unterminated) };
            if letter == '\\' {
                bytes.push(self.escape()?);
                continue;
            }
            self.at += letter.len_utf8();
            if letter == quote {
                return Ok(Token::Text(bytes));
            }
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn escape(&mut self) -> Result<u8, Invalid> {
        const UNKNOWN: &str =
            "unknown escape; write \\\\ for a backslash, or use \\\", \\', \\n, \\t or \\xHH";
        let rest = &self.rest()[1..];
        let (byte, length) = match rest.as_bytes().first() {
            Some(&byte @ (b'\\' | b'"' | b'\'')) => (byte, 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'x') => {
                let digits =
                    rest.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (byte.ok_or_else(|| self.invalid("\\x needs two hexadecimal digits, such as \\x1b"))?, 3)
            }
            _ => return Err(self.invalid(UNKNOWN)),
        };
        self.at += 1 + length;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        lex(text).into_iter().map(|lexed| lexed.token).collect()
    }

    #[test]
    fn words_signs_and_texts() {
        let word = |text: &str| Token::Word(text.to_owned());
        assert_eq!(
            tokens("perm=-w- size<=4K(,)x!=/a/[b]*"),
            [
                word("perm"),
                Token::Op(Op::Equal),
                word("-w-"),
                word("size"),
                Token::Op(Op::AtMost),
                word("4K"),
                Token::Open,
                Token::Comma,
                Token::Close,
                word("x"),
                Token::Op(Op::Unequal),
                word("/a/[b]*"),
                Token::End
            ]
        );
        let text = |bytes: &[u8]| Token::Text(bytes.to_vec());
        assert_eq!(
            tokens(r#""a\"\\\n\t\xff" 'it is "so"' "it's""#),
            [text(b"a\"\\\n\t\xff"), text(b"it is \"so\""), text(b"it's"), Token::End]
        );
    }

    #[test]
    fn an_invalid_token_says_what_to_write() {
        for (wrong, at, says) in [
            ("a && b", 2, "write `and`"),
            ("a || b", 2, "write `or`"),
            ("!a", 0, "write `not`"),
            ("a =< b", 2, "write `<=`"),
            ("a \"b", 2, "unterminated"),
            ("\"\\q\"", 1, "unknown escape"),
            ("\"\\xg1\"", 1, "two hexadecimal digits"),
            ("\"\\x\u{e9}1\"", 1, "two hexadecimal digits"),
            ("“a”", 0, "quotation mark"),
        ] {
            let last = lex(wrong).pop().unwrap();
            let Token::Invalid(what) = &last.token else { panic!("{wrong}: {last:?}") };
            assert!(what.contains(says), "{wrong}: {what}");
            assert_eq!(last.at, at, "{wrong}");
        }
    }
}
