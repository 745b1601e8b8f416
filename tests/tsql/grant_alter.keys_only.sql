GRANT ALTER ON [dbo].[follows] TO [it's [odd]]];
