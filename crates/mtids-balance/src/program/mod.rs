//! The small convex programs behind the rules, T×T with T ≤ 64, in double precision.
//!
//! | program | module | method | tolerance |
//! |---|---|---|---|
//! | projection on the dual cone (DD-GB, UPGrad, DualProj) | [`cone`] | every active set up to 8 unknowns, else Lawson–Hanson | of C + εI: exact up to rounding; of C: as well where the active gradients are independent |
//! | point of least norm of the convex hull (MGDA) | [`simplex`] | the program of [`cone`] | as above |
//! | CAGrad's worst improvement in a ball | [`simplex`] | monotone root of the program of [`cone`] | 1e-9 relative with independent gradients |
//! | bargaining equilibrium (Nash-MTL, FairGrad) | [`equilibrium`] | damped Newton on a convex function | 1e-13 relative on the ridged equation |
//! | Euclidean projection on the simplex (`SDMGrad`) | [`simplex`] | by sorting | exact up to rounding |
//!
//! # Degenerate gradients
//! All programs are posed on unit gradients, so scale never matters, and on C + εI, ε = 1e-8. Rank-deficient (also equal)
//! gradients then have one set of weights, the one that treats equal tasks equally, and the combined vector is off by at most
//! √ε of the weights' size. Where the active gradients are independent enough, the baselines' programs remove the ridge's
//! effect by refinement. Exactly opposite gradients give weights up to 1/(2ε) whose combination vanishes; the equilibrium's
//! stay below 1/√ε. Nothing here returns NaN or an infinity for a finite cosine matrix; the tests try parallel, opposite, nearly
//! opposite and rank-deficient ones.

pub(crate) mod cone;
pub(crate) mod equilibrium;
pub(crate) mod linear;
pub(crate) mod simplex;
