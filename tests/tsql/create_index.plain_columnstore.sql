CREATE NONCLUSTERED COLUMNSTORE INDEX [orders] ON [dbo].[orders] ([rv]) WHERE ([a]>(0) AND [b] IS NOT NULL);
