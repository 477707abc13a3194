//! One pattern of a `.gitignore`, over bytes: a path need not be UTF-8.
//!
//! The pattern becomes an automaton whose states are all followed at once, so that no pattern,
//! however hostile, takes more than pattern length times path length.

/// A compiled pattern. `*`, `?` and `[...]` never match a slash.
#[derive(Debug)]
pub(crate) struct Glob {
    tokens: Vec<Token>,
    literal: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    Any,
    Class(Box<[bool; 256]>),
    /// `*`: any bytes but slashes.
    Star,
    /// `**/`: may be skipped, or entered through the [`Token::InFolders`] that follows it.
    Folders,
    /// Inside `**/`: left at any slash.
    InFolders,
    /// `**` at the end: whatever is left.
    Rest,
}

impl Glob {
    /// Compiles `pattern`; nothing for a malformed one, which matches no path.
    pub(crate) fn new(pattern: &[u8]) -> Option<Self> {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut at = 0;
        while at < pattern.len() {
            at = push_token(pattern, at, &mut tokens)?;
        }
        let literal = tokens.iter().all(|token| matches!(token, Token::Byte(_)));
        Some(Self { tokens, literal })
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        if self.literal {
            return self.tokens.len() == text.len()
                && text
                    .iter()
                    .zip(&self.tokens)
                    .all(|(byte, token)| *token == Token::Byte(*byte));
        }
        let mut active = vec![false; self.tokens.len() + 1];
        self.enter(0, &mut active);
        for byte in text {
            let mut next = vec![false; active.len()];
            for (state, token) in self.tokens.iter().enumerate() {
                if active[state] {
                    self.step(state, token, *byte, &mut next);
                }
            }
            active = next;
        }
        active[self.tokens.len()]
    }

    /// Activates a state and those reachable from it without reading a byte.
    fn enter(&self, state: usize, active: &mut [bool]) {
        if std::mem::replace(&mut active[state], true) {
            return;
        }
        match self.tokens.get(state) {
            Some(Token::Star | Token::Rest) => self.enter(state + 1, active),
            Some(Token::Folders) => {
                self.enter(state + 1, active);
                self.enter(state + 2, active);
            }
            _ => {}
        }
    }

    fn step(&self, state: usize, token: &Token, byte: u8, next: &mut [bool]) {
        match token {
            Token::Byte(wanted) if *wanted == byte => self.enter(state + 1, next),
            Token::Any if byte != b'/' => self.enter(state + 1, next),
            Token::Class(set) if byte != b'/' && set[usize::from(byte)] => {
                self.enter(state + 1, next);
            }
            Token::Star if byte != b'/' => self.enter(state, next),
            Token::Rest => self.enter(state, next),
            Token::InFolders => {
                self.enter(state, next);
                if byte == b'/' {
                    self.enter(state + 1, next);
                }
            }
            _ => {}
        }
    }
}

/// Reads the token at `at`, and says where the next one begins.
fn push_token(pattern: &[u8], at: usize, tokens: &mut Vec<Token>) -> Option<usize> {
    match pattern[at] {
        b'?' => tokens.push(Token::Any),
        b'\\' => {
            tokens.push(Token::Byte(*pattern.get(at + 1)?));
            return Some(at + 2);
        }
        b'[' => {
            let (set, end) = class(pattern, at + 1)?;
            tokens.push(Token::Class(set));
            return Some(end);
        }
        b'*' => return Some(push_stars(pattern, at, tokens)),
        byte => tokens.push(Token::Byte(byte)),
    }
    Some(at + 1)
}

/// `**` is special only between slashes or the ends of the pattern.
fn push_stars(pattern: &[u8], at: usize, tokens: &mut Vec<Token>) -> usize {
    let count = pattern[at..]
        .iter()
        .take_while(|byte| **byte == b'*')
        .count();
    let end = at + count;
    let starts_a_name = at == 0 || pattern[at - 1] == b'/';
    match pattern.get(end) {
        None if count > 1 && starts_a_name => tokens.push(Token::Rest),
        Some(b'/') if count > 1 && starts_a_name => {
            tokens.extend([Token::Folders, Token::InFolders]);
            return end + 1;
        }
        _ => tokens.push(Token::Star),
    }
    end
}

/// Reads a bracket expression whose first byte is at `at`; gives its set and where it ends.
fn class(pattern: &[u8], mut at: usize) -> Option<(Box<[bool; 256]>, usize)> {
    let mut set = Box::new([false; 256]);
    let negated = matches!(pattern.get(at)?, b'!' | b'^');
    at += usize::from(negated);
    let first = at;
    let mut previous: Option<u8> = None;
    loop {
        let byte = *pattern.get(at)?;
        if byte == b']' && at > first {
            break;
        }
        if byte == b'[' && pattern.get(at + 1) == Some(&b':') {
            let (name, end) = class_name(pattern, at + 2)?;
            (0..=255_u8).for_each(|byte| set[usize::from(byte)] |= is_in_class(name, byte));
            (previous, at) = (None, end);
            continue;
        }
        let range_from = previous.filter(|_| byte == b'-' && pattern.get(at + 1) != Some(&b']'));
        if range_from.is_some() {
            at += 1;
        }
        let (last, end) = class_byte(pattern, at)?;
        let start = range_from.unwrap_or(last);
        (start..=last).for_each(|byte| set[usize::from(byte)] = true);
        previous = Some(last).filter(|_| range_from.is_none());
        at = end;
    }
    if negated {
        set.iter_mut().for_each(|member| *member = !*member);
    }
    Some((set, at + 1))
}

fn class_byte(pattern: &[u8], at: usize) -> Option<(u8, usize)> {
    match *pattern.get(at)? {
        b'\\' => Some((*pattern.get(at + 1)?, at + 2)),
        byte => Some((byte, at + 1)),
    }
}

/// The name in `[:name:]`, and where the expression ends.
fn class_name(pattern: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = pattern[at..].windows(2).position(|pair| pair == b":]")?;
    let name = &pattern[at..at + length];
    KNOWN_CLASSES
        .contains(&name)
        .then_some((name, at + length + 2))
}

const KNOWN_CLASSES: [&[u8]; 12] = [
    b"alnum", b"alpha", b"blank", b"cntrl", b"digit", b"graph", b"lower", b"print", b"punct",
    b"space", b"upper", b"xdigit",
];

fn is_in_class(name: &[u8], byte: u8) -> bool {
    match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"upper" => byte.is_ascii_uppercase(),
        _ => byte.is_ascii_hexdigit(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(pattern.as_bytes()).is_some_and(|glob| glob.matches(text.as_bytes()))
    }

    #[test]
    fn stars_stay_within_a_name_unless_doubled() {
        assert!(matches("a*c", "abc") && !matches("a*c", "a/c"));
        assert!(matches("**/x", "x") && matches("**/x", "a/b/x") && !matches("**/x", "ax"));
        assert!(matches("a/**/b", "a/b") && matches("a/**/b", "a/x/y/b"));
        assert!(matches("a/**", "a/b/c") && !matches("a/**", "a"));
        assert!(matches("a**b", "axxb") && !matches("a**b", "a/b"));
    }

    #[test]
    fn bracket_expressions() {
        assert!(matches("[a-c]", "b") && !matches("[!a-c]", "b") && matches("[]x]", "]"));
        assert!(matches("[[:digit:]_]", "7") && matches("[a-]", "-") && matches("[\\]]", "]"));
        assert!(!matches("[a", "[a") && !matches("[[:nope:]]", "n"));
    }

    #[test]
    fn escapes_are_literal_and_a_dangling_one_matches_nothing() {
        assert!(matches("\\*x", "*x") && !matches("\\*x", "ax") && !matches("x\\", "x\\"));
    }

    #[test]
    fn a_hostile_pattern_is_not_slow() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, &format!("{}b", "a".repeat(255))));
    }
}
