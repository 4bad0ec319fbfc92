//! Assets (style sheets, scripts, icons, map shapes) built from npm packages and embedded in the program.
