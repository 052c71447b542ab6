// Package text is the one meaning of full text search: what the tokens of a text are, and what a query asks of them.
//
// Every back end (the embedded index, OpenSearch, the in-process matcher) indexes or compares the tokens that Tokens
// gives and prints the tree that Parse gives; none tokenizes by itself. The rules are written in docs/search.md; changing
// one means rebuilding every index.
//
// What is guaranteed of a token: it is not empty, has at most MaxToken bytes, is valid UTF-8, holds no white space, no
// control character, no quotation mark and no upper case ASCII letter, and starts and ends with a letter or digit. So a
// back end that splits at white space alone keeps tokens whole.
package text
