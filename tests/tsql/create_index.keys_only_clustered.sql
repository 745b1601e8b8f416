CREATE UNIQUE CLUSTERED INDEX [follows] ON [dbo].[follows] ([a] DESC);
