//! The words of a check.

use super::tree::Op;

/// A word of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word without quotes: a keyword, a field, a kind, a size, an address.
    Word(String),
    /// What stood in quotes, its escapes undone. Bytes, since `\xHH` may be any.
    Text(Vec<u8>),
    Op(Op),
    Open,
    Close,
    Comma,
    End,
    /// What is no word, and why. Nothing follows.
    Wrong(String),
}

/// A word and where it stands, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Lexed {
    pub token: Token,
    pub at: usize,
}

/// Takes a check apart. The last token is [`Token::End`] or [`Token::Wrong`].
pub(super) fn lex(text: &str) -> Vec<Lexed> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let blanks = lexer.rest().len() - lexer.rest().trim_start().len();
        lexer.at += blanks;
        let mut at = lexer.at;
        let token = lexer.token().unwrap_or_else(|wrong| {
            at = wrong.at;
            Token::Wrong(wrong.what)
        });
        let is_last = matches!(token, Token::End | Token::Wrong(_));
        tokens.push(Lexed { token, at });
        if is_last {
            return tokens;
        }
    }
}

struct Wrong {
    at: usize,
    what: String,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// What ends a word.
fn is_word(letter: char) -> bool {
    !letter.is_whitespace()
        && !matches!(letter, '(' | ')' | ',' | '=' | '!' | '<' | '>' | '"' | '\'' | '&' | '|' | ';')
        && !matches!(letter, '“' | '”' | '„' | '‘' | '’' | '«' | '»')
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, what: impl Into<String>) -> Wrong {
        Wrong { at: self.at, what: what.into() }
    }

    fn token(&mut self) -> Result<Token, Wrong> {
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
            return Err(self.wrong(format!("there is no `{sign}`; write `{instead}`")));
        }
        if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.at += sign.len();
            return Ok(token.clone());
        }
        if matches!(first, '"' | '\'') {
            return self.text_in(first);
        }
        let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.wrong(format!("`{first}` is no quotation mark of this language; write \" or '")));
        }
        self.at += end;
        Ok(Token::Word(rest[..end].to_owned()))
    }

    /// A text in quotes, from the first of them.
    fn text_in(&mut self, quote: char) -> Result<Token, Wrong> {
        let endless = self.wrong(format!("this text has no end: there is no second {quote}"));
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            let Some(letter) = self.rest().chars().next() else { return Err(endless) };
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

    fn escape(&mut self) -> Result<u8, Wrong> {
        const WAYS: &str =
            "after a backslash stands \\, \", ', n, t or xHH; the backslash itself is written \\\\";
        let rest = &self.rest()[1..];
        let (byte, length) = match rest.as_bytes().first() {
            Some(&byte @ (b'\\' | b'"' | b'\'')) => (byte, 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'x') => {
                let digits =
                    rest.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (byte.ok_or_else(|| self.wrong("after \\x stand two hexadecimal digits, as in \\x1b"))?, 3)
            }
            _ => return Err(self.wrong(WAYS)),
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
    fn what_is_no_word_says_what_to_write() {
        for (wrong, at, says) in [
            ("a && b", 2, "write `and`"),
            ("a || b", 2, "write `or`"),
            ("!a", 0, "write `not`"),
            ("a =< b", 2, "write `<=`"),
            ("a \"b", 2, "no end"),
            ("\"\\q\"", 1, "after a backslash"),
            ("\"\\xg1\"", 1, "two hexadecimal digits"),
            ("\"\\x\u{e9}1\"", 1, "two hexadecimal digits"),
            ("“a”", 0, "quotation mark"),
        ] {
            let last = lex(wrong).pop().unwrap();
            let Token::Wrong(what) = &last.token else { panic!("{wrong}: {last:?}") };
            assert!(what.contains(says), "{wrong}: {what}");
            assert_eq!(last.at, at, "{wrong}");
        }
    }
}
