CREATE UNIQUE CLUSTERED INDEX [every_type] ON [dbo].[every_type] ([c1] DESC);
