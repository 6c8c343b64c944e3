//! HTML page, SVG charts and terminal tables shared by audit and training.
