//! The numbers of a text about stations, with the sides beside them, and the place that they mean together.
//!
//! Invariants: each number is one of the text's own runs of digits; time and depth are linear in the length of the text, which is bounded.

use super::location::Location;
use super::station::Station;
use super::words::{Mark, is_dash, is_of_number, is_separator, letters, part_of_3, part_of_11};

/// Longest text that may name stations, bytes.
const MAX_TEXT: usize = 200;

/// A number with what stands beside it.
#[derive(Clone, Copy, Debug, Default)]
struct Mention {
    number: u32,
    right: bool,
    left: bool,
    anterior: bool,
    posterior: bool,
}

impl Mention {
    fn has_side(&self) -> bool {
        self.right || self.left
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Right => self.right = true,
            Mark::Left => self.left = true,
            Mark::Anterior => self.anterior = true,
            Mark::Posterior => self.posterior = true,
        }
    }

    /// The stations of this number; empty where there are none.
    fn stations(&self) -> Vec<Station> {
        use Station::*;
        let sided = |right: Station, left: Station| match (self.right, self.left) {
            (false, false) => vec![right, left],
            (wants_right, wants_left) => [(wants_right, right), (wants_left, left)]
                .into_iter()
                .filter(|(wanted, _)| *wanted)
                .map(|(_, s)| s)
                .collect(),
        };
        let has_part = self.anterior || self.posterior;
        match self.number {
            3 if self.has_side() && !has_part => Vec::new(),
            3 => match (self.anterior, self.posterior) {
                (true, false) => vec![S3A],
                (false, true) => vec![S3P],
                _ => vec![S3A, S3P],
            },
            _ if has_part => Vec::new(),
            // 5 and 6 lie on the left.
            5 | 6 if self.right => Vec::new(),
            7 if self.has_side() => Vec::new(),
            1 => sided(S1R, S1L),
            2 => sided(S2R, S2L),
            4 => sided(S4R, S4L),
            5 => vec![S5],
            6 => vec![S6],
            7 => vec![S7],
            8 if !self.has_side() => vec![S8],
            8 => sided(S8R, S8L),
            9 if !self.has_side() => vec![S9],
            9 => sided(S9R, S9L),
            10 => sided(S10R, S10L),
            11 => sided(S11R, S11L),
            12..=14 => sided(S12R, S12L),
            _ => Vec::new(),
        }
    }
}

/// Piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Number(&'a str),
    Mark(Mark),
    /// A word without meaning of its own.
    Word,
    Gap,
    /// A gap of blanks alone.
    Blank,
    Dash,
    /// A point between digits, and nothing else.
    Point,
}

/// The tokens of a lower-case text; an error names what is not of the grammar.
fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    #[derive(PartialEq)]
    enum Kind {
        Digit,
        Letter,
        Other,
    }
    let kind = |c: char| match c {
        '0'..='9' => Kind::Digit,
        'a'..='z' => Kind::Letter,
        _ => Kind::Other,
    };
    let mut found: Vec<Token<'_>> = Vec::new();
    let mut rest = text;
    let mut word = None;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(length);
        rest = behind;
        found.push(match kind(first) {
            Kind::Digit => Token::Number(run),
            Kind::Letter if run == "to" => Token::Dash,
            Kind::Letter if run == "no" && !is_of_number(word, rest) => {
                return Err("`no` may mean none or number; write nr., or leave it out".to_owned());
            }
            Kind::Letter => match letters(run).or_else(|| part_behind(&found, run)) {
                Some(Some(mark)) => Token::Mark(mark),
                Some(None) => Token::Word,
                None => return Err(format!("`{run}` is not understood")),
            },
            // Letters of other scripts are no separators, and a question mark is a doubt: nobody knows what they say.
            Kind::Other => match run.chars().find(|c| !is_separator(*c)) {
                Some(strange) => return Err(format!("`{strange}` is not understood")),
                None if run.contains(is_dash) => Token::Dash,
                None if run == "." && matches!(found.last(), Some(Token::Number(_))) => Token::Point,
                None if run.chars().all(char::is_whitespace) => Token::Blank,
                None => Token::Gap,
            },
        });
        // Behind a number another word begins.
        word = match kind(first) {
            Kind::Letter => Some(run),
            Kind::Digit => None,
            Kind::Other => word,
        };
    }
    Ok(found)
}

/// Whether the other side than this one stands before it, with blanks between them or nothing, and one of both touches a number.
fn contradicts_before(tokens: &[Token<'_>], at: usize, mark: Mark) -> bool {
    let Some(before) = tokens[..at].iter().rposition(|token| !matches!(token, Token::Blank)) else { return false };
    let is_number = |at: Option<usize>| matches!(at.and_then(|at| tokens.get(at)), Some(Token::Number(_)));
    let is_other = matches!(
        (&tokens[before], mark),
        (Token::Mark(Mark::Right), Mark::Left) | (Token::Mark(Mark::Left), Mark::Right)
    );
    is_other && (is_number(before.checked_sub(1)) || is_number(Some(at + 1)))
}

/// What letters say of a part of the last number, where nothing but its side stands behind it.
fn part_behind(tokens: &[Token<'_>], run: &str) -> Option<Option<Mark>> {
    let last =
        tokens.iter().rev().find(|token| !matches!(token, Token::Gap | Token::Blank | Token::Dash | Token::Mark(_)));
    match last {
        Some(Token::Number("11")) => part_of_11(run),
        Some(Token::Number("3" | "03")) => part_of_3(run),
        _ => None,
    }
}

/// The numbers of a text.
pub(super) struct Mentions {
    list: Vec<Mention>,
    /// Sides stand before the numbers.
    sides_first: bool,
    /// Exactly two numbers with a dash between them.
    range: bool,
}

impl Mentions {
    /// The numbers of a lower-case text.
    ///
    /// # Errors
    /// What is wrong, or nothing where the text is no station at all.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let fail = str::to_owned;
        if text.len() > MAX_TEXT {
            return Err(format!("longer than {MAX_TEXT} bytes"));
        }
        let tokens = tokens(whole_number(text))?;
        let first_mark = tokens.iter().position(|token| matches!(token, Token::Mark(_)));
        let first_number = tokens.iter().position(|token| matches!(token, Token::Number(_)));
        let Some(first_number) = first_number else { return Err(fail("")) };
        let sides_first = first_mark.is_some_and(|mark| mark < first_number);
        let mut found = Self { list: Vec::new(), sides_first, range: false };
        let mut dashes = 0;
        let mut dash = false;
        // Marks that wait for the number behind them.
        let mut waiting: Vec<Mark> = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let touches_number = |at: Option<usize>| {
                at.and_then(|at| tokens.get(at)).is_some_and(|token| matches!(token, Token::Number(_)))
            };
            match token {
                Token::Word | Token::Gap | Token::Blank => {}
                Token::Dash => dash = true,
                Token::Point if touches_number(Some(at + 1)) => return Err(fail("a number with a point")),
                Token::Point => {}
                Token::Number(digits) => {
                    for number in numbers(digits).ok_or_else(|| fail(""))? {
                        let mut mention = Mention { number, ..Mention::default() };
                        waiting.iter().for_each(|mark| mention.mark(*mark));
                        dashes += u32::from(dash && !found.list.is_empty());
                        dash = digits.len() == 4;
                        found.list.push(mention);
                    }
                    dash = false;
                    waiting.clear();
                }
                // A letter that touches the number of the other side belongs to that one: `10R, L11` has no reading.
                Token::Mark(_) if sides_first && touches_number(at.checked_sub(1)) => {
                    return Err(fail("sides on both sides"));
                }
                Token::Mark(_) if !sides_first && touches_number(Some(at + 1)) => {
                    return Err(fail("sides on both sides"));
                }
                // `4R left` contradicts itself; `4R/L` and `4R or L` name both.
                Token::Mark(mark) if contradicts_before(&tokens, at, *mark) => {
                    return Err(fail("two sides that contradict each other"));
                }
                Token::Mark(mark) if sides_first => waiting.push(*mark),
                Token::Mark(mark) => {
                    if let Some(last) = found.list.last_mut() {
                        last.mark(*mark);
                    }
                }
            }
        }
        if !waiting.is_empty() {
            return Err(fail("a side without number"));
        }
        found.range = found.list.len() == 2 && dashes == 1;
        Ok(found)
    }

    /// The place of all numbers together.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn place(mut self) -> Result<Location, String> {
        let fail = str::to_owned;
        if let [one] = self.list.as_slice()
            && one.stations().len() > 1
            && !one.has_side()
            && !(one.anterior && one.posterior)
        {
            let what = if one.number == 3 { "3a or 3p" } else { "the side is missing" };
            return Err(fail(what));
        }
        if let [first, last] = self.list.as_slice()
            && self.range
            && first.number < last.number
            && last.number <= 14
        {
            let (first, last) = (*first, *last);
            let between = (first.number + 1..last.number).map(|number| Mention { number, ..Mention::default() });
            self.list = [first].into_iter().chain(between).chain([last]).collect();
        }
        self.spread_sides();
        let mut stations = Vec::new();
        for mention in &self.list {
            let of_number = mention.stations();
            if of_number.is_empty() {
                return Err(fail(""));
            }
            // Without side, 8 and 9 beside other numbers may be of either.
            stations.extend(match (mention.number, self.list.len()) {
                (8, 2..) if !mention.has_side() => vec![Station::S8, Station::S8R, Station::S8L],
                (9, 2..) if !mention.has_side() => vec![Station::S9, Station::S9R, Station::S9L],
                _ => of_number,
            });
        }
        Location::of(stations).ok_or_else(|| fail(""))
    }

    /// Whether this is the writing of one station: one number, or `12-14` with one side.
    pub(super) fn is_one_station(&self) -> bool {
        match self.list.as_slice() {
            [_] => true,
            [first, last] => (first.number, last.number) == (12, 14) && (first.has_side() != last.has_side()),
            _ => false,
        }
    }

    /// Gives numbers without side that of the next number, or of the one before where sides come first.
    fn spread_sides(&mut self) {
        let mut known: Option<Mention> = None;
        let mut give = |mention: &mut Mention| {
            let takes_side = !matches!(mention.number, 3 | 5..=7);
            if mention.has_side() {
                known = Some(*mention);
            } else if let Some(known) = known.filter(|_| takes_side) {
                (mention.right, mention.left) = (known.right, known.left);
            }
        };
        if self.sides_first {
            self.list.iter_mut().for_each(&mut give);
        } else {
            self.list.iter_mut().rev().for_each(&mut give);
        }
        // 12 to 14 are one station of each side.
        let is_peripheral = |mention: &Mention| (12..=14).contains(&mention.number);
        if let Some(known) = self.list.iter().find(|one| is_peripheral(one) && one.has_side()).copied() {
            for mention in self.list.iter_mut().filter(|one| is_peripheral(one) && !one.has_side()) {
                (mention.right, mention.left) = (known.right, known.left);
            }
        }
    }
}

/// `7.0` and `7,0` are 7, as programs write a column of numbers with an empty cell.
pub(super) fn whole_number(text: &str) -> &str {
    let text = text.trim();
    match text.split_once(['.', ',']) {
        Some((number, zeros))
            if !zeros.is_empty() && zeros.bytes().all(|c| c == b'0') && number.bytes().all(|c| c.is_ascii_digit()) =>
        {
            number
        }
        _ => text,
    }
}

/// The numbers that a run of digits stands for: itself, or 12 and 14 run together; `None` where no station has the number.
fn numbers(digits: &str) -> Option<Vec<u32>> {
    if digits == "1214" {
        return Some(vec![12, 14]);
    }
    // A leading zero fills up to two digits (`04R`).
    digits.parse().ok().filter(|number| digits.len() <= 2 && (1..=14).contains(number)).map(|number| vec![number])
}
