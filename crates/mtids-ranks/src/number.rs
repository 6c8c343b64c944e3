//! The numbers that are summed.

/// A number that is added in double precision.
pub trait Number: bytemuck::Pod + Send + Sync {
    /// In double precision.
    fn widen(self) -> f64;
    /// Rounded to this type.
    fn narrow(value: f64) -> Self;
}

impl Number for f32 {
    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn narrow(value: f64) -> Self {
        value as f32
    }
}

impl Number for f64 {
    fn widen(self) -> f64 {
        self
    }

    fn narrow(value: f64) -> Self {
        value
    }
}
