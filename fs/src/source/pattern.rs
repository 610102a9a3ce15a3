//! A pattern with wildcards, compiled.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

/// A character of UTF-8, or a byte that is none, above all characters.
pub(super) type Symbol = u32;

/// One step of a pattern.
#[derive(Clone, Debug)]
enum Token {
    Is(Symbol),
    One,
    Many,
    Set { negated: bool, items: Vec<Item> },
}

/// A class of characters, and how to tell what is in it.
type Class = (&'static str, fn(char) -> bool);

/// What can be in a set.
#[derive(Clone, Copy, Debug)]
enum Item {
    Range(Symbol, Symbol),
    Class(Class),
}

/// The classes that a set can name.
const CLASSES: [Class; 12] = [
    ("alnum", char::is_alphanumeric),
    ("alpha", char::is_alphabetic),
    ("blank", |char| matches!(char, ' ' | '\t')),
    ("cntrl", char::is_control),
    ("digit", |char| char.is_ascii_digit()),
    ("graph", |char| !char.is_control() && !char.is_whitespace()),
    ("lower", char::is_lowercase),
    ("print", |char| !char.is_control()),
    ("punct", |char| char.is_ascii_punctuation()),
    ("space", char::is_whitespace),
    ("upper", char::is_uppercase),
    ("xdigit", |char| char.is_ascii_hexdigit()),
];

/// A pattern with wildcards, compiled.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// Compiles a pattern.
    pub(super) fn new(pattern: &[u8]) -> Self {
        Self(tokens(pattern))
    }

    /// Returns the pattern with `*/` in front.
    pub(super) fn below_any_folder(&self) -> Self {
        let any = [Token::Many, Token::Is(SLASH)];
        Self(any.into_iter().chain(self.0.iter().cloned()).collect())
    }

    /// Tells whether it matches a name or the name of a folder it is in.
    pub(super) fn fits(&self, name: &[Symbol]) -> bool {
        fits(&self.0, name)
    }
}

const SLASH: Symbol = 0x2f;

/// Splits bytes into characters, and bytes that are none.
pub(super) fn symbols(bytes: &[u8]) -> impl Iterator<Item = Symbol> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let bytes = chunk
            .invalid()
            .iter()
            .map(|&byte| 0x11_0000 | u32::from(byte));
        chunk.valid().chars().map(u32::from).chain(bytes)
    })
}

/// Tells whether a pattern matches a name or the name of a folder it is in.
///
/// Going back to the last `*` alone is enough, as each takes as little as it can; so the time is at
/// most the product of the two lengths.
fn fits(tokens: &[Token], name: &[Symbol]) -> bool {
    let (mut token, mut at) = (0usize, 0usize);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let next = name.get(at);
        let step = match (tokens.get(token), next) {
            (None, None | Some(&SLASH)) => return true,
            (Some(Token::Many), _) => {
                token = token.saturating_add(1);
                back = Some((token, at));
                continue;
            }
            (Some(token), Some(&symbol)) => token.fits(symbol),
            _ => false,
        };
        if step {
            token = token.saturating_add(1);
            at = at.saturating_add(1);
        } else if let Some((after, from)) = back
            && from < name.len()
        {
            token = after;
            at = from.saturating_add(1);
            back = Some((after, at));
        } else {
            return false;
        }
    }
}

impl Token {
    fn fits(&self, symbol: Symbol) -> bool {
        match self {
            Self::Is(own) => *own == symbol,
            Self::One | Self::Many => true,
            Self::Set { negated, items } => items.iter().any(|item| item.fits(symbol)) != *negated,
        }
    }
}

impl Item {
    fn fits(self, symbol: Symbol) -> bool {
        match self {
            Self::Range(first, last) => (first..=last).contains(&symbol),
            Self::Class((_, holds)) => char::from_u32(symbol).is_some_and(holds),
        }
    }
}

fn tokens(pattern: &[u8]) -> Vec<Token> {
    let symbols: Vec<_> = symbols(pattern).collect();
    let mut rest = symbols.as_slice();
    let mut tokens = Vec::new();
    while let Some((&symbol, more)) = rest.split_first() {
        rest = more;
        tokens.push(match char::from_u32(symbol) {
            Some('*') => Token::Many,
            Some('?') => Token::One,
            Some('[') => match set(rest) {
                Some((set, more)) => {
                    rest = more;
                    set
                }
                None => Token::Is(symbol),
            },
            Some('\\') => match rest.split_first() {
                Some((&escaped, more)) => {
                    rest = more;
                    Token::Is(escaped)
                }
                None => Token::Is(symbol),
            },
            _ => Token::Is(symbol),
        });
    }
    tokens
}

/// Reads a set after its `[`; `None` when it has no end, so that the `[` is itself.
fn set(symbols: &[Symbol]) -> Option<(Token, &[Symbol])> {
    let mut rest = symbols;
    let negated = matches!(char_at(rest), Some('!' | '^'));
    if negated {
        rest = rest.get(1..)?;
    }
    let mut items = Vec::new();
    loop {
        if char_at(rest) == Some(']') && !items.is_empty() {
            let set = Token::Set { negated, items };
            return Some((set, rest.get(1..)?));
        }
        if let Some((class, more)) = class(rest) {
            items.push(Item::Class(class));
            rest = more;
            continue;
        }
        let first = member(&mut rest)?;
        let is_range = char_at(rest) == Some('-') && char_at(rest.get(1..)?) != Some(']');
        let last = if is_range {
            rest = rest.get(1..)?;
            member(&mut rest)?
        } else {
            first
        };
        items.push(Item::Range(first, last));
    }
}

/// Takes one character of a set, which a backslash may escape.
fn member(rest: &mut &[Symbol]) -> Option<Symbol> {
    let escaped = usize::from(char_at(rest) == Some('\\'));
    let (&symbol, more) = rest.get(escaped..)?.split_first()?;
    *rest = more;
    Some(symbol)
}

/// Reads a class such as `[:alpha:]` in a set.
fn class(rest: &[Symbol]) -> Option<(Class, &[Symbol])> {
    CLASSES.into_iter().find_map(|class| {
        let spelt = format!("[:{}:]", class.0);
        let mut rest = rest;
        for char in spelt.chars() {
            let (&symbol, more) = rest.split_first()?;
            rest = (symbol == u32::from(char)).then_some(more)?;
        }
        Some((class, rest))
    })
}

fn char_at(symbols: &[Symbol]) -> Option<char> {
    symbols.first().and_then(|&symbol| char::from_u32(symbol))
}
