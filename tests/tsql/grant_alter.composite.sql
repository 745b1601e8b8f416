GRANT ALTER ON [sales].[訂單] TO [it's [odd]]];
