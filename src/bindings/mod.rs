//! Where callers come in. No logic: each binding turns its language's types into the facade's, and back.
