GRANT ALTER ON [dbo].[every_type] TO [it's [odd]]];
