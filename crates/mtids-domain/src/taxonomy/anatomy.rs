//! Which stations the words of a description can name: `4R (subcarinal)` is a contradiction, `7 (subcarinal)` is none.
//!
//! Invariant: a word that several stations share fits all of them, and one of no certain station (`mediastinal`, `bronchus`) says nothing.
//! Source: Rusch et al., J Thorac Oncol 2009;4:568; older names of a station fit it, too.

use super::location::Location;
use super::words::{is_dash, letters};

/// What is wrong where words of a lower-case description can name no station of a place.
pub(super) fn contradiction(described: &str, place: Location) -> Option<String> {
    let is_of =
        |codes: &[&str]| place.stations().any(|station| codes.contains(&station.code().trim_end_matches(['R', 'L'])));
    for part in described.split([',', '/', '&']) {
        let words: Vec<&str> = part
            .split(|c: char| c.is_whitespace() || c == '.' || is_dash(c))
            .filter(|word| !word.is_empty() && letters(word).is_none_or(|mark| mark.is_none()))
            .collect();
        for (at, word) in words.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", |before| words[before]);
            let whole = if before == "para" { format!("para{word}") } else { (*word).to_owned() };
            let height = if before == "para" { at.checked_sub(2).map_or("", |at| words[at]) } else { before };
            let behind = words.get(at + 1).copied().unwrap_or_default();
            if codes(&whole, [height, behind]).is_some_and(|codes| !is_of(codes)) {
                return Some(format!("the brackets name another station (`{}`)", part.trim()));
            }
        }
    }
    None
}

/// The codes, without side, of the stations that a word can name between two others; `None` where it says nothing.
fn codes(word: &str, beside: [&str; 2]) -> Option<&'static [&'static str]> {
    let is = |words: &[&str]| beside.iter().find(|word| !word.is_empty()).is_some_and(|word| words.contains(word));
    Some(match word {
        "supraclavicular" | "cervical" => &["1"],
        "paratracheal" if is(&["upper", "high", "superior"]) => &["2"],
        "paratracheal" if is(&["lower", "low", "inferior"]) => &["4"],
        "paratracheal" => &["2", "3a", "3p", "4"],
        "retrotracheal" => &["3p"],
        "prevascular" => &["3a", "5", "6"],
        // Older maps put the angle into station 10.
        "tracheobronchial" => &["4", "10"],
        "subaortal" | "subaortic" => &["5"],
        "aortopulmonary" | "ap" | "fenster" | "window" => &["5", "6"],
        "paraaortal" | "paraaortic" => &["5", "6", "8"],
        "subcarinal" | "subkarinal" => &["7"],
        "azygoesophageal" => &["7", "8"],
        "paraesophageal" | "paraoesophageal" | "paraösophageal" => &["3p", "7", "8", "9"],
        "ligament" if beside[0] == "pulmonary" => &["9"],
        "hilar" | "hilum" | "hilär" | "hilus" => &["10", "11", "12-14"],
        "interlobar" | "interlobär" => &["11"],
        // Station 11 lies where the lobar bronchi begin.
        "lobar" | "lobär" => &["11", "12-14"],
        "segmental" | "subsegmental" => &["12-14"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::taxonomy::{Station, StationMap, StationText};

    #[test]
    fn a_description_of_another_station_is_an_error() {
        for text in [
            "4R (subcarinal)",
            "2R (lower paratracheal)",
            "2R (lower right paratracheal)",
            "4L (upper para-tracheal)",
            "4R (superior right paratracheal)",
            "3a (retrotracheal)",
            "3p (prevascular)",
            "10R (subcarinal)",
            "6 (subaortic)",
            "7 (hilar)",
            "10R (interlobar)",
            "4R (para-aortic)",
            "8 (pulmonary ligament)",
            "4R (paratracheal, subcarinal)",
            "10R/11R (subcarinal)",
            "LN 4R [subcarinal]",
        ] {
            let error = StationText::read(text, StationMap::Iaslc).unwrap_err().to_string();
            assert!(error.contains("the brackets name another station"), "{text}: {error}");
            assert!(text.parse::<Station>().is_err(), "{text}");
        }
        assert!(StationText::read("7 (hilar)", StationMap::Naruke).is_err());
    }

    #[test]
    fn words_that_several_stations_share_fit_each() {
        for (text, station) in [
            ("7 (subcarinal)", "7"),
            ("4R (lower paratracheal)", "4R"),
            ("4R (lower paratracheal, right)", "4R"),
            ("4R (paratracheal, lower)", "4R"),
            ("4R (upper mediastinal, lower paratracheal)", "4R"),
            ("4R (upper mediastinal paratracheal)", "4R"),
            ("4R (tracheobronchial)", "4R"),
            ("2L (upper left paratracheal)", "2L"),
            ("2R (paratracheal upper)", "2R"),
            ("10R (hilar)", "10R"),
            ("10R (main bronchus)", "10R"),
            ("11R (hilar, interlobar)", "11R"),
            ("12R (lobar bronchus)", "12-14R"),
            ("5 (subaortic, AP window)", "5"),
            ("6 (AP window)", "6"),
            ("6 (para-aortic)", "6"),
            ("6 (prevascular)", "6"),
            ("3p (paraesophageal)", "3p"),
            ("9L (inferior pulmonary ligament)", "9L"),
            ("1R (low cervical, supraclavicular)", "1R"),
        ] {
            let read = StationText::read(text, StationMap::Iaslc).map_err(|error| error.to_string());
            assert_eq!(read.map(|read| read.location().to_string()).as_deref(), Ok(station), "{text}");
        }
        // Numbers of other maps have other names.
        assert_eq!(
            StationText::read("4R (supraclavicular)", StationMap::Neck).unwrap().location(),
            Station::S1R.into()
        );
        assert_eq!(StationText::read("2R (lower paratracheal)", StationMap::Naruke), Ok(StationText::OtherMap));
    }
}
