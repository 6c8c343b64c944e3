//! What a folder that a program of this project wrote holds, by the file that is written last.
//!
//! Purpose: an answer, a run and a dataset have files of equal names, so a program that writes one refuses a folder that holds another.
//! Invariant: an empty folder holds none of them.

use std::path::Path;

/// What a program writes into a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Of `mtids-prep build`.
    Dataset,
    /// Of `mtids-train fit`.
    Run,
    /// Of `mtids-train predict`.
    Answer,
}

/// The first run of a cross-validation, in its folder.
const FOLD: &str = "fold-0";

impl Product {
    const ALL: [Self; 3] = [Self::Dataset, Self::Run, Self::Answer];

    /// The file that tells it.
    pub const fn file(self) -> &'static str {
        match self {
            Product::Dataset => "manifest.json",
            Product::Run => "run.json",
            Product::Answer => "prediction.json",
        }
    }

    /// Its noun.
    pub const fn noun(self) -> &'static str {
        match self {
            Product::Dataset => "a dataset",
            Product::Run => "a run",
            Product::Answer => "an answer of predict",
        }
    }

    /// Why `folder` cannot hold this, in words: it holds something else. `None` where it does not.
    pub fn refusal(self, folder: &Path) -> Option<String> {
        let (other, file) = Self::ALL
            .into_iter()
            .filter(|&other| other != self)
            .flat_map(|other| [(other, other.file().to_owned()), (other, format!("{FOLD}/{}", other.file()))])
            .find(|(_, file)| folder.join(file).exists())?;
        Some(format!("{} holds {} ({file}); give another folder", folder.display(), other.noun()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_refused_to_another_product_only() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Product::Answer.refusal(folder.path()), None);
        std::fs::write(folder.path().join("run.json"), "{}").unwrap();
        assert_eq!(Product::Run.refusal(folder.path()), None);
        let said = Product::Dataset.refusal(folder.path()).unwrap();
        assert!(said.ends_with("holds a run (run.json); give another folder"), "{said}");
        std::fs::remove_file(folder.path().join("run.json")).unwrap();
        std::fs::create_dir(folder.path().join("fold-0")).unwrap();
        std::fs::write(folder.path().join("fold-0/run.json"), "{}").unwrap();
        assert!(Product::Answer.refusal(folder.path()).unwrap().contains("(fold-0/run.json)"));
        assert!(Product::Answer.refusal(&folder.path().join("missing")).is_none());
    }
}
