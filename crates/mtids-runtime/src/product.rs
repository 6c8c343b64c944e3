//! What a folder that a program of this project wrote holds, by the file that is written last.
//!
//! Purpose: an answer, a run and a dataset have files of equal names, so a program that writes one refuses a folder that holds another. It
//! refuses a place inside one too: a build takes a dataset for one whole, and `prune` removes what lies in it under names of ours.
//! Invariants: an empty folder holds none of them; symbolic links are followed, so no way around leads into one.

use std::path::{Path, PathBuf};

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

    /// What stands beside that file. Only with it does a folder above count: `manifest.json` is a name that others use, too.
    const fn companion(self) -> &'static str {
        match self {
            Product::Dataset => "shards",
            Product::Run => "config.resolved.toml",
            Product::Answer => "nodes.csv",
        }
    }

    /// Why `folder` is no place for this, in words: it holds something else ([`Product::refusal`]), or it lies inside a dataset, a run or an
    /// answer, or is an address. `None` for a place that is free, and for one that holds an earlier state of this. Missing folders are allowed.
    pub fn place_refusal(self, folder: &Path) -> Option<String> {
        address_refusal(folder).or_else(|| self.refusal(folder)).or_else(|| inside_refusal(folder))
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

/// Why `folder` is no place for files that are no product, such as studies, in words: it is a dataset, a run or an answer, or it lies inside one.
/// `None` for a place that is free.
pub fn refusal_of_any(folder: &Path) -> Option<String> {
    if let Some(reason) = address_refusal(folder) {
        return Some(reason);
    }
    let held = Product::ALL.into_iter().find(|product| holds(folder, *product));
    let here = held.map(|product| {
        format!("{} holds {} ({}); give another folder", folder.display(), product.noun(), product.file())
    });
    here.or_else(|| inside_refusal(folder))
}

/// Why nothing is written at `place`: it is an address, which would become the name of a folder.
fn address_refusal(place: &Path) -> Option<String> {
    let text = place.to_string_lossy();
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one));
    is_scheme.then(|| {
        format!(
            "{text} is an address, and files are written into a folder; give one, and copy it to the address afterwards"
        )
    })
}

/// Why nothing of its own may be written at `folder`: a folder above it is a dataset, a run or an answer.
fn inside_refusal(folder: &Path) -> Option<String> {
    let (product, above) = resolved(folder)?.ancestors().skip(1).find_map(|above| {
        Product::ALL.into_iter().find(|product| holds(above, *product)).map(|found| (found, above.to_owned()))
    })?;
    Some(format!(
        "{} lies inside {} ({}); give a folder outside of it",
        folder.display(),
        product.noun(),
        above.join(product.file()).display()
    ))
}

/// Whether a folder is a product: the file that tells it, and what stands beside it.
fn holds(folder: &Path, product: Product) -> bool {
    folder.join(product.file()).is_file() && folder.join(product.companion()).exists()
}

/// Where a file or folder lies or will lie, without links: its nearest parent that exists, and the missing rest.
pub fn resolved(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    folder.ancestors().find_map(|above| {
        // An empty rest would add a slash, and what ends with one is a folder.
        let missing = folder.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.components().chain(missing.components()).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the two files by which a product is known.
    fn make(folder: &Path, product: Product) {
        std::fs::create_dir_all(folder).unwrap();
        for name in [product.file(), product.companion()] {
            std::fs::write(folder.join(name), "{}").unwrap();
        }
    }

    #[test]
    fn a_place_inside_a_product_is_refused_and_one_beside_it_is_free() {
        let folder = tempfile::tempdir().unwrap();
        for product in Product::ALL {
            let root = folder.path().join(format!("of {}", product.file()));
            make(&root, product);
            for inside in ["x", "x/y/z", "shards/mine"] {
                for other in Product::ALL {
                    let said = other.place_refusal(&root.join(inside)).unwrap();
                    assert!(said.contains(&format!("lies inside {}", product.noun())), "{said}");
                }
                assert!(refusal_of_any(&root.join(inside)).unwrap().contains("lies inside"));
            }
            assert_eq!(product.place_refusal(&root), None, "an earlier state of the same is gone on with");
            assert!(refusal_of_any(&root).unwrap().contains(product.noun()));
        }
        assert_eq!(Product::Dataset.place_refusal(&folder.path().join("beside/x")), None);
        // The name alone is used by many programs.
        std::fs::write(folder.path().join("manifest.json"), "{}").unwrap();
        assert_eq!(Product::Dataset.place_refusal(&folder.path().join("beside")), None);
        assert_eq!(refusal_of_any(&folder.path().join("beside")), None);
    }

    #[test]
    fn an_address_is_no_folder() {
        for address in ["s3://bucket/prefix", "file:///data/dataset", "https://host/x"] {
            for product in Product::ALL {
                let said = product.place_refusal(Path::new(address)).unwrap();
                assert!(said.starts_with(&format!("{address} is an address")), "{said}");
            }
            assert!(refusal_of_any(Path::new(address)).unwrap().contains("is an address"));
        }
        for folder in ["s3:/bucket", "C:\\data", "out/a b://c"] {
            assert_eq!(refusal_of_any(Path::new(folder)), None, "{folder}");
        }
    }

    #[test]
    fn a_place_has_one_path_whether_it_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::write(real.join("file"), "").unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        for (written, place) in [("file", "file"), ("a/../file", "file"), ("a/", "a"), ("b/c.csv", "b/c.csv")] {
            assert_eq!(resolved(&folder.path().join(written)).unwrap().as_os_str(), real.join(place).as_os_str());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_way_into_a_product() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = folder.path().join("dataset");
        make(&dataset, Product::Dataset);
        std::fs::create_dir(dataset.join("meta")).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(dataset.join("meta"), &link).unwrap();
        assert!(Product::Run.place_refusal(&link.join("run")).unwrap().contains("lies inside a dataset"));
        assert!(Product::Run.place_refusal(&link).unwrap().contains("lies inside a dataset"));
    }

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
