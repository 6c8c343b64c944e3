//! Gradient balancing on NumPy arrays.
//!
//! Invariants: coefficients and updates are those of `mtids-balance` to the bit; states pass through JSON, which keeps every bit.

use std::sync::{Mutex, PoisonError};

use mtids_balance::{AfterStep, AnyBalancer, BalanceError, BalanceInput, BalancerConfig, GradientInput, Needs, Rows};
use numpy::{IntoPyArray, PyArray1, PyArrayLike1, PyArrayLike2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

type Numbers<'py> = PyArrayLike1<'py, f64>;
type Flags<'py> = PyArrayLike1<'py, bool>;
type Array<'py> = Bound<'py, PyArray1<f64>>;

fn refused(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A contiguous copy of what Python hands over.
fn list<T: Copy + numpy::Element>(values: &PyArrayLike1<'_, T>) -> Vec<T> {
    values.as_array().iter().copied().collect()
}

struct State {
    balancer: AnyBalancer,
    /// The step whose losses are still to come, for the methods that ask for them.
    open: Option<AfterStep>,
}

/// A balancer with its state. `mtids.balance.Balancer` makes it from a method and settings.
#[pyclass(frozen, module = "mtids")]
pub(crate) struct Balancer {
    tasks: usize,
    state: Mutex<State>,
}

impl Balancer {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, BalanceError>) -> PyResult<T> {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)).map_err(refused)
    }

    fn active(&self, active: Option<&Flags<'_>>) -> Vec<bool> {
        active.map_or_else(|| vec![true; self.tasks], list)
    }

    fn wrong(&self, name: &str, instead: &str) -> PyErr {
        PyValueError::new_err(format!("`{name}` needs {instead}"))
    }
}

#[pymethods]
impl Balancer {
    #[new]
    fn new(config: &str, tasks: usize) -> PyResult<Self> {
        let config: BalancerConfig = serde_json::from_str(config).map_err(refused)?;
        let balancer = config.build_any(tasks).map_err(refused)?;
        Ok(Self { tasks, state: Mutex::new(State { balancer, open: None }) })
    }

    /// Name of the method.
    #[getter]
    fn method(&self) -> &'static str {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).balancer.name()
    }

    /// Number of tasks.
    #[getter]
    fn tasks(&self) -> usize {
        self.tasks
    }

    /// Coefficients `[T]` of a step and its telemetry as JSON.
    #[pyo3(signature = (gram, losses = None, active = None))]
    fn coefficients<'py>(
        &self,
        py: Python<'py>,
        gram: PyArrayLike2<'py, f64>,
        losses: Option<Numbers<'py>>,
        active: Option<Flags<'py>>,
    ) -> PyResult<(Array<'py>, String)> {
        let gram: Vec<f64> = gram.as_array().iter().copied().collect();
        let (losses, active) = (losses.as_ref().map(list), self.active(active.as_ref()));
        let input = BalanceInput { gram: &gram, losses: losses.as_deref(), active: &active };
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let balance = match &mut state.balancer {
            AnyBalancer::Step(balancer) => balancer.coefficients(&input).map_err(refused)?,
            AnyBalancer::Epoch(balancer) => balancer.coefficients(&input).map_err(refused)?,
            AnyBalancer::AfterStep(balancer) => {
                let (balance, open) = balancer.coefficients(&input).map_err(refused)?;
                state.open = Some(open);
                balance
            }
            AnyBalancer::Gradients(balancer) => {
                return Err(self.wrong(balancer.name(), "whole gradients: call `combine`"));
            }
        };
        let telemetry = serde_json::to_string(&balance.telemetry).map_err(refused)?;
        Ok((balance.coefficients.into_pyarray(py), telemetry))
    }

    /// The update `[P]` of a step from gradients `[T, P]`, weights `[T]` where the method has such, and telemetry as JSON.
    #[pyo3(signature = (gradients, losses = None, active = None))]
    fn combine<'py>(
        &self,
        py: Python<'py>,
        gradients: PyArrayLike2<'py, f64>,
        losses: Option<Numbers<'py>>,
        active: Option<Flags<'py>>,
    ) -> PyResult<(Array<'py>, Option<Array<'py>>, String)> {
        let rows: Vec<Vec<f64>> = gradients.as_array().rows().into_iter().map(|row| row.to_vec()).collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let (losses, active) = (losses.as_ref().map(list), self.active(active.as_ref()));
        let input = GradientInput { rows: Rows::F64(&rows), losses: losses.as_deref(), active: &active };
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let AnyBalancer::Gradients(balancer) = &mut state.balancer else {
            return Err(self.wrong(state.balancer.name(), "the Gram matrix: call `coefficients`"));
        };
        let balance = balancer.combine(&input).map_err(refused)?;
        let telemetry = serde_json::to_string(&balance.telemetry).map_err(refused)?;
        Ok((balance.update.into_pyarray(py), balance.weights.map(|weights| weights.into_pyarray(py)), telemetry))
    }

    /// Says that all steps of an epoch are done; methods that do not ask for it ignore it.
    fn end_epoch(&self) {
        if let AnyBalancer::Epoch(balancer) = &mut self.state.lock().unwrap_or_else(PoisonError::into_inner).balancer {
            balancer.end_epoch();
        }
    }

    /// Losses `[T]` of the same batch after the step; methods that do not ask for them ignore them.
    fn after_step(&self, losses: Numbers<'_>) -> PyResult<()> {
        let losses = list(&losses);
        self.with(|state| {
            let AnyBalancer::AfterStep(balancer) = &mut state.balancer else { return Ok(()) };
            match state.open.take().or_else(|| balancer.pending()) {
                Some(open) => balancer.after_step(open, &losses),
                None => Ok(()),
            }
        })
    }

    /// The state as JSON.
    fn state(&self) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).balancer.state().to_string()
    }

    /// Takes over the state of a balancer of the same method and number of tasks.
    fn restore(&self, state: &str) -> PyResult<()> {
        let saved = serde_json::from_str(state).map_err(refused)?;
        self.with(|own| {
            own.balancer.restore(&saved)?;
            own.open = None;
            Ok(())
        })
    }
}

/// Every method, and what it must be given: `gram`, `gram and epochs`, `gram and losses after` or `gradients`.
#[pyfunction]
pub(crate) fn methods() -> Vec<(&'static str, &'static str)> {
    let needs = |config: &BalancerConfig| match config.needs() {
        Needs::Step => "gram",
        Needs::EpochEnds => "gram and epochs",
        Needs::LossesAfter => "gram and losses after",
        Needs::Gradients => "gradients",
    };
    BalancerConfig::all(2).iter().map(|config| (config.method(), needs(config))).collect()
}
