GRANT ALTER ON [dbo].[orders] TO [it's [odd]]];
