//! A volume and a point become a patch: resampling, orientation, border policy.
