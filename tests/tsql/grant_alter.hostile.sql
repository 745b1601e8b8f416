GRANT ALTER ON [a]]b.c].[it's "odd"; DROP TABLE x --] TO [it's [odd]]];
