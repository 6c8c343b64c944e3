//! `croissant.json`: the dataset in the words of Croissant 1.1 (MLCommons), for catalogues and for `mlcroissant`.
//!
//! Invariants: columns and meanings are those of `schemas/patch.json`; shards are named one by one; no time of day, place or person, so that it is a
//! pure function of the build's input. Voxels are bytes, for which Croissant has no type: its readers pass `Text` on as the bytes that it is. What the
//! specification requires and a build cannot know (`license`, `url`, `creator`, `datePublished`) comes from the table `publication` of the settings.

use mtids_shards::{DatasetDescription, ShardEntry, patch_json_schema};
use serde_json::{Value, json};

use crate::publication::Publication;
use crate::synthetic::Synthetic;

/// What every dataset is.
const ABOUT: &str = "Views of chest CT around annotated nodes, labelled by region and metastasis. An unknown status is not benign. README.md tells \
                     counts, sources of labels and scanners. Research data, not for diagnosis.";
/// Id of the set of shards.
const SHARDS: &str = "shards";
/// Id of the set of rows.
const ROWS: &str = "rows";
/// Name of the columns of voxels in the schema, which has one for all views.
const VOXELS: &str = "voxels_<view>";

/// Text of the file.
pub(crate) fn croissant(
    description: &DatasetDescription,
    shards: &[ShardEntry],
    publication: &Publication,
    synthetic: Synthetic,
) -> String {
    let about = synthetic.sentence().map_or_else(String::new, |sentence| format!("{sentence} ")) + ABOUT;
    let mut keywords = vec!["chest CT", "lymph nodes", "mediastinum", "metastasis"];
    if synthetic == Synthetic::All {
        keywords.push("synthetic phantoms, no patients");
    }
    let paths: Vec<&str> = shards.iter().map(|shard| shard.path.as_str()).collect();
    let mut value = json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": publication.name.as_deref().unwrap_or("mtids-dataset"),
        "description": about,
        "keywords": keywords,
        "distribution": [{
            "@type": "cr:FileSet",
            "@id": SHARDS,
            "name": SHARDS,
            "description": "Parquet files; manifest.json has the BLAKE3 digest of each, and of each row group.",
            "encodingFormat": "application/x-parquet",
            "includes": paths,
        }],
        "recordSet": [{
            "@type": "cr:RecordSet",
            "@id": ROWS,
            "name": ROWS,
            "description": "A row is one place in one CT series.",
            "key": { "@id": format!("{ROWS}/sample_key") },
            "field": fields(description),
        }],
    });
    for (property, words) in publication.properties() {
        value[property] = words;
    }
    value.sort_all_objects();
    format!("{value:#}\n")
}

/// A field for each column, in the order of the shards.
fn fields(description: &DatasetDescription) -> Vec<Value> {
    let schema = patch_json_schema();
    let columns = schema["columns"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut fields = Vec::new();
    for column in columns {
        let text = |key: &str| column[key].as_str().unwrap_or_default();
        if text("name") == VOXELS {
            for view in &description.views {
                let name = format!("voxels_{}", view.name);
                fields.push(field(&name, "sc:Text", &format!("view `{}`: {}", view.name, text("meaning"))));
            }
            continue;
        }
        let data_type = match text("type") {
            "Boolean" => "sc:Boolean",
            "Int8" | "Int32" => "sc:Integer",
            "Float32" | "Float64" => "sc:Float",
            _ => "sc:Text",
        };
        fields.push(field(text("name"), data_type, text("meaning")));
    }
    fields
}

fn field(name: &str, data_type: &str, meaning: &str) -> Value {
    json!({
        "@type": "cr:Field",
        "@id": format!("{ROWS}/{name}"),
        "name": name,
        "description": meaning,
        "dataType": data_type,
        "source": { "fileSet": { "@id": SHARDS }, "extract": { "column": name } },
    })
}

/// The context of the specification (1.1, appendix 1), and the terms that `mlcroissant` knows besides. Its reader takes `https://schema.org/` only, where
/// the specification writes `http`.
fn context() -> Value {
    let mut context = json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "cr": "http://mlcommons.org/croissant/",
        "data": { "@id": "cr:data", "@type": "@json" },
        "dataType": { "@id": "cr:dataType", "@type": "@vocab" },
        "dct": "http://purl.org/dc/terms/",
        "examples": { "@id": "cr:examples", "@type": "@json" },
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
    });
    for term in [
        "annotation",
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "excludes",
        "extract",
        "field",
        "fileObject",
        "fileProperty",
        "fileSet",
        "format",
        "includes",
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "readLines",
        "recordSet",
        "references",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
        "sdVersion",
        "separator",
        "source",
        "subField",
        "transform",
        "unArchive",
        "value",
    ] {
        context[term] = Value::from(format!("cr:{term}"));
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::taxonomy::{RegionScheme, TAXONOMY_VERSION, Zone};
    use mtids_runtime::digest::Digest;
    use mtids_runtime::provenance::Program;
    use mtids_shards::{Channel, PatchGeometry, SCHEMA_VERSION, Split, View, ViewName};

    #[test]
    fn every_column_is_a_field_with_a_source() {
        let geometry = PatchGeometry { size: [4, 4, 4], spacing_mm: [1.0; 3], ..PatchGeometry::default() };
        let view = |name: &str| View {
            name: ViewName::try_from(name.to_owned()).unwrap(),
            geometry,
            channels: vec![Channel::Ct],
        };
        let description = DatasetDescription {
            schema_version: SCHEMA_VERSION.into(),
            taxonomy_version: TAXONOMY_VERSION.into(),
            regions: RegionScheme::of_zones(&[Zone::Upper]).unwrap(),
            views: vec![view("near"), view("wide")],
            config_digest: Digest::of_bytes(b""),
            program: Program::new("test", "0"),
        };
        let digest = Digest::of_bytes(b"");
        let shard = ShardEntry {
            path: "shards/train/a.parquet".into(),
            split: Split::Train,
            rows: 1,
            bytes: 1,
            digest,
            footer_digest: digest,
            row_groups: Vec::new(),
        };
        let text = croissant(&description, std::slice::from_ref(&shard), &Publication::default(), Synthetic::None);
        let of = |synthetic| -> Value {
            serde_json::from_str(&croissant(
                &description,
                std::slice::from_ref(&shard),
                &Publication::default(),
                synthetic,
            ))
            .unwrap()
        };
        let all = of(Synthetic::All);
        assert!(all["description"].as_str().unwrap().starts_with("Synthetic phantoms, no patients. Views"), "{all}");
        assert_eq!(all["keywords"][4], "synthetic phantoms, no patients");
        let some = of(Synthetic::Some { rows: 1, of: 2 });
        assert!(some["description"].as_str().unwrap().starts_with("1 of 2 rows"), "{some}");
        assert_eq!(some["keywords"].as_array().unwrap().len(), 4);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["distribution"][0]["includes"], json!(["shards/train/a.parquet"]));
        for missing in ["license", "url", "creator", "datePublished"] {
            assert!(value.get(missing).is_none(), "the guide says that {missing} is missing");
        }
        for term in ["annotation", "excludes", "readLines", "sdVersion", "unArchive", "value", "arrayShape"] {
            assert_eq!(value["@context"][term], format!("cr:{term}"));
        }
        let fields = value["recordSet"][0]["field"].as_array().unwrap();
        let named: Vec<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
        let columns = patch_json_schema()["columns"].as_array().unwrap().len();
        assert_eq!(named.len(), columns + 1, "one column of voxels in the schema, two views");
        assert!(named.ends_with(&["voxels_near", "voxels_wide"]) && named.contains(&"grown_suv_max"), "{named:?}");
        for field in fields {
            assert_eq!(field["source"]["extract"]["column"], field["name"]);
            assert!(!field["description"].as_str().unwrap().is_empty());
        }
    }
}
