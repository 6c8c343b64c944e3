//! From `space`, `space directions` and `space origin` to LPS mm.
//!
//! Invariant: a file that does not say which way its axes run is refused; voxel sizes alone (`spacings`) do not. Units: mm, or those that
//! `space units` names.

use mtids_domain::geometry::{Affine, PointMm};

use super::header::Header;

/// Where the voxels lie.
pub(super) struct Geometry {
    pub(super) affine: Affine,
    /// The axis of the file without direction, where there are four.
    pub(super) layer_axis: Option<usize>,
}

/// The geometry of a file with `rank` axes.
pub(super) fn geometry(header: &Header, rank: usize) -> Result<Geometry, String> {
    let signs = signs(header)?;
    let scales = units(header)?;
    let to_lps = |vector: [f64; 3]| std::array::from_fn(|n| vector[n] * signs[n] * scales[n]);
    let directions = header.need("space directions")?;
    let axes = vectors(directions).ok_or_else(|| format!("space directions `{directions}`"))?;
    let layers: Vec<usize> = (0..axes.len()).filter(|&n| axes[n].is_none()).collect();
    if axes.len() != rank || layers.len() + 3 != rank {
        return Err(format!("space directions `{directions}` for dimension {rank}; three axes need a vector"));
    }
    let steps: Vec<[f64; 3]> = axes.into_iter().flatten().map(to_lps).collect();
    let steps = <[[f64; 3]; 3]>::try_from(steps).map_err(|_| format!("space directions `{directions}`"))?;
    let origin = header.need("space origin")?;
    let origins = vectors(origin).unwrap_or_default();
    let [Some(point)] = origins[..] else { return Err(format!("space origin `{origin}`")) };
    let affine = Affine::new(PointMm(to_lps(point)), steps).map_err(|error| error.to_string())?;
    Ok(Geometry { affine, layer_axis: layers.first().copied() })
}

/// Signs that turn the axes of the named space to left, posterior and superior.
fn signs(header: &Header) -> Result<[f64; 3], String> {
    let Some(space) = header.field("space") else {
        return Err(
            "the header has no `space`, so left and right are not known (spacings alone have no orientation); \
            write it with `space: left-posterior-superior`, `space directions` and `space origin`"
                .into(),
        );
    };
    match space.to_lowercase().as_str() {
        "left-posterior-superior" | "lps" => Ok([1.0, 1.0, 1.0]),
        "right-anterior-superior" | "ras" => Ok([-1.0, -1.0, 1.0]),
        "left-anterior-superior" | "las" => Ok([1.0, -1.0, 1.0]),
        other => Err(format!(
            "space `{other}` has no left and right of a patient; left-posterior-superior, right-anterior-superior and \
            left-anterior-superior are read"
        )),
    }
}

/// Millimetres in the unit of each axis of space.
fn units(header: &Header) -> Result<[f64; 3], String> {
    let Some(text) = header.field("space units") else { return Ok([1.0; 3]) };
    let names: Vec<&str> = text.split('"').skip(1).step_by(2).map(str::trim).collect();
    let scales: Option<Vec<f64>> = names.iter().map(|name| millimetres(name)).collect();
    let scales = scales.and_then(|scales| <[f64; 3]>::try_from(scales).ok());
    scales.ok_or_else(|| format!("space units `{text}`; \"mm\", \"cm\", \"m\" and \"um\" are known, one for each axis"))
}

fn millimetres(unit: &str) -> Option<f64> {
    match unit.to_lowercase().as_str() {
        // An empty unit says nothing.
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" | "" => Some(1.0),
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => Some(10.0),
        "m" | "meter" | "meters" | "metre" | "metres" => Some(1000.0),
        "um" | "µm" | "μm" | "micron" | "microns" | "micrometer" | "micrometers" | "micrometre" => Some(0.001),
        _ => None,
    }
}

/// Vectors like `(1,0,0) none (0,1,0)`; an axis without direction is `None`.
fn vectors(text: &str) -> Option<Vec<Option<[f64; 3]>>> {
    let mut vectors = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("none") {
            vectors.push(None);
            rest = after.trim_start();
            continue;
        }
        let (inside, after) = rest.strip_prefix('(')?.split_once(')')?;
        let numbers: Vec<f64> =
            inside.split(',').map(|number| number.trim().parse().ok()).collect::<Option<Vec<f64>>>()?;
        let vector = <[f64; 3]>::try_from(numbers).ok()?;
        // Some writers put numbers that are none for an axis without direction.
        vectors.push(Some(vector).filter(|vector| !vector.iter().all(|x| x.is_nan())));
        rest = after.trim_start();
    }
    Some(vectors)
}
